// Which of the files that a person opened belong together.

import { address } from "../api.js";
import { readNpz } from "./npz.js";

/**
 * @typedef {{path: string, file: Blob}} OpenedFile
 */

/**
 * @param {FileList} list Of a file input.
 * @returns {OpenedFile[]}
 */
export function filesOfInput(list) {
  return [...list].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/**
 * @param {DataTransferItemList} items What was dropped: files and folders.
 * @returns {Promise<OpenedFile[]>}
 */
export async function filesOfDrop(items) {
  // All entries are taken before the first wait: afterwards the browser gives no more.
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  return (await Promise.all(entries.map(walk))).flat();
}

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // Browsers give a folder in portions.
    const portion = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!portion.length) return found;
    found.push(...(await Promise.all(portion.map(walk))).flat());
  }
}

/** @returns {Promise<OpenedFile[]>} The drive that ships with the page. */
export async function sampleFiles() {
  const names = ["episode.json", "trajectory.npz", "route.npz", "video.webm"];
  return Promise.all(
    names.map(async (name) => ({
      path: `sample/${name === "route.npz" ? "routes/" : ""}${name}`,
      file: await (await fetch(address(`page/sample_drive/${name}`))).blob(),
    })),
  );
}

/**
 * @param {OpenedFile[]} files
 * @returns {Promise<import("./episode.js").EpisodeFiles[]>} All episodes that are complete.
 * @throws {Error} If there is none.
 */
export async function episodesIn(files) {
  const routes = await routesIn(files);
  const episodes = [];
  for (const { path, file } of files) {
    if (nameOf(path) !== "episode.json") continue;
    const beside = (wanted) => files.find((other) => folderOf(other.path) === folderOf(path) && wanted(nameOf(other.path)))?.file ?? null;
    const trajectory = beside((name) => name === "trajectory.npz");
    if (!trajectory) continue;
    const about = JSON.parse(await file.text());
    const video = beside((name) => /^video\.(webm|mp4)$/.test(name));
    episodes.push({
      name: about.episode_id ?? folderOf(path), about, trajectory,
      // A file from disk has the type that the system has for its name; not every system has one.
      video: video && (video.type ? video : new Blob([video], { type: "video/webm" })),
      route: routes.get(about.route) ?? null,
    });
  }
  if (!episodes.length) {
    throw new Error(
      `There is no episode in the ${files.length} file${files.length === 1 ? "" : "s"} that you opened: expected episode.json and ` +
      "trajectory.npz in one folder, as in RUN/episodes/NAME/.",
    );
  }
  return episodes.sort((one, other) => one.name.localeCompare(other.name));
}

/** @returns {Promise<Map<string, Blob>>} Routes by name. */
async function routesIn(files) {
  const routes = new Map();
  for (const { path, file } of files) {
    if (!path.endsWith(".npz") || nameOf(path) === "trajectory.npz") continue;
    const name = (await readNpz(file)).get("name")?.text;
    if (name) routes.set(name, file);
  }
  return routes;
}

function nameOf(path) {
  return path.split("/").at(-1);
}

function folderOf(path) {
  return path.split("/").slice(0, -1).join("/");
}
