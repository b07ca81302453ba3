// The panel of drives: recorded ones are played, running ones are watched.

import { byId } from "../dom.js";
import { showFailure } from "../failure.js";
import { readEpisode } from "./episode.js";
import { episodesIn, filesOfDrop, filesOfInput, sampleFiles } from "./episode_files.js";
import { Player } from "./player.js";
import { RunningDrives } from "./running.js";

/** @returns {{show: () => void, hide: () => void}} */
export function startDrivePanel() {
  const panel = new DrivePanel();
  return { show: () => panel.running.offer(), hide: () => panel.rest() };
}

class DrivePanel {
  /** @type {Player | null} */
  player = null;
  /** @type {import("./episode.js").EpisodeFiles[]} */
  episodes = [];
  running = new RunningDrives(() => this.#close());

  constructor() {
    for (const kind of ["api-key", "server-ready"]) window.addEventListener(kind, () => this.running.offer());
    for (const id of ["episode-folder", "episode-files"]) {
      const input = byId(id);
      input.addEventListener("change", () => {
        const files = filesOfInput(input.files);
        input.value = "";
        if (files.length) this.#open(async () => files);
      });
    }
    byId("episode-sample").addEventListener("click", () => this.#open(sampleFiles, true));
    byId("episode").addEventListener("change", () => this.#play(Number(byId("episode").value)));
    const area = byId("panel-drive");
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#open(() => filesOfDrop(event.dataTransfer.items));
    });
  }

  /** Nothing plays and nothing is asked for while nobody looks. */
  rest() {
    this.player?.clock.pause();
    this.running.stop();
  }

  #close() {
    this.player?.close();
    this.player = null;
  }

  /**
   * @param {() => Promise<import("./episode_files.js").OpenedFile[]>} read
   * @param {boolean} [atOnce] Whether it is played without being asked again.
   */
  async #open(read, atOnce = false) {
    try {
      const files = read();
      this.episodes = await episodesIn(await files);
      const select = byId("episode");
      select.replaceChildren(...this.episodes.map(({ name }, place) => new Option(name, String(place))));
      byId("episode-field").hidden = this.episodes.length < 2;
      await this.#play(0);
      if (atOnce) await this.player?.clock.play();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #play(place) {
    const files = this.episodes[place];
    try {
      const episode = await readEpisode(files);
      this.running.stop();
      this.#close();
      this.player = new Player(byId("player"), episode, files.video);
      showFailure(byId("drive-failure"), null);
      byId("drive-said").textContent = `${files.name} is open${files.video ? "" : "; it has no video"}.`;
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error) {
    byId("drive-said").textContent = "";
    showFailure(byId("drive-failure"), error);
  }
}
