// Starts the page.

import { startApiKey } from "./api_key.js";
import { startDrivePanel } from "./drive/panel.js";
import { startLivePanel } from "./live/panel.js";
import { startServerState } from "./server_state.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";
import { startTryPanel } from "./try/panel.js";

startTheme();
startApiKey();
startServerState();

/** @type {Record<string, {show: () => void, hide: () => void}>} */
const panels = { try: startTryPanel(), live: startLivePanel(), drive: startDrivePanel() };
let shown = "";

startTabs((name) => {
  if (name === shown) return;
  panels[shown]?.hide();
  shown = name;
  panels[name].show();
});
