// Starts the page; each panel starts when it is first looked at.

import { startApiKey } from "./api_key.js";
import { startDrivePanel } from "./drive/panel.js";
import { startLivePanel } from "./live/panel.js";
import { startServerState } from "./server_state.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";
import { startTryPanel } from "./try/panel.js";

/** What each panel needs to know: that it is shown, or no longer. */
const panels = { try: startTryPanel, live: startLivePanel, drive: startDrivePanel };

/** @type {Record<string, {show: () => void, hide: () => void}>} */
const started = {};
let shown = "";

startTheme();
startApiKey();
startServerState();
startTabs((name) => {
  if (name === shown) return;
  started[shown]?.hide();
  shown = name;
  started[name] ??= panels[name]();
  started[name].show();
});
