// Starts the page.

import { startApiKey } from "./api_key.js";
import { startServerState, startTabs } from "./bar.js";
import { startDrivePanel } from "./drive/panel.js";
import { startLivePanel } from "./live/panel.js";
import { startTryPanel } from "./try/panel.js";

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
