// An episode of `bicameral evaluate`: what the player needs of it.

import { readNpz } from "./npz.js";

/** Schema of episode.json that is known here. */
const SCHEMA = 1;
const COLUMNS = ["time_s", "x_m", "y_m", "speed_mps", "steer", "steer_raw", "throttle", "brake", "confidence", "branch", "asked_b", "cross_track_m", "frame"];

/**
 * @typedef {object} EpisodeFiles
 * @property {string} name
 * @property {Record<string, any>} about Content of episode.json.
 * @property {Blob} trajectory
 * @property {Blob | null} video
 * @property {Blob | null} route
 *
 * @typedef {object} Episode One entry of each column for every tick of 50 ms.
 * @property {string} title
 * @property {string} subtitle
 * @property {number[]} timeS
 * @property {number[]} xM World frame, y grows to the right of x.
 * @property {number[]} yM
 * @property {number[]} speedMps
 * @property {number[]} steer -1..1, positive is right.
 * @property {number[]} steerRaw Before the correction; NaN: there is none.
 * @property {number[]} throttle 0..1
 * @property {number[]} brake 0..1
 * @property {number[]} confidence 0..1; NaN: there is none.
 * @property {number[]} branch Index into `branches`.
 * @property {boolean[]} askedB
 * @property {number[]} crossTrackM
 * @property {string[]} branches Names of the correction's branches.
 * @property {{timeS: number, other: string}[]} collisions
 * @property {{x: number[], y: number[]} | null} route
 */

/**
 * @param {EpisodeFiles} files
 * @returns {Promise<Episode>}
 * @throws {Error} If the files are not those of an episode.
 */
export async function readEpisode(files) {
  const { about } = files;
  if (about.schema_version !== SCHEMA) {
    throw new Error(`${files.name}/episode.json has schema ${about.schema_version}, this page reads ${SCHEMA}`);
  }
  const arrays = await readNpz(files.trajectory);
  const columns = Object.fromEntries(COLUMNS.map((name) => [name, column(arrays, name)]));
  if (!columns.time_s.length) throw new Error(`nothing was driven in ${files.name}`);
  const first = columns.frame[0];
  const last = columns.time_s.length - 1;
  return {
    title: `${about.town}, ${about.weather.replaceAll("_", " ")}`,
    subtitle: `${about.agent}, correction ${about.correction.replaceAll("_", " ")}, ${about.route.replaceAll("_", " ")} · ${about.status}`,
    timeS: columns.time_s,
    xM: columns.x_m,
    yM: columns.y_m,
    speedMps: columns.speed_mps,
    steer: columns.steer,
    steerRaw: columns.steer_raw,
    throttle: columns.throttle,
    brake: columns.brake,
    confidence: columns.confidence,
    branch: columns.branch,
    askedB: columns.asked_b.map(Boolean),
    crossTrackM: columns.cross_track_m,
    branches: about.branches,
    collisions: about.collisions.map(({ frame, other }) => ({
      timeS: columns.time_s[Math.min(last, Math.max(0, frame - first))],
      other,
    })),
    route: files.route ? await readRoute(files.route) : null,
  };
}

function column(arrays, name) {
  const found = arrays.get(name);
  if (!found) throw new Error(`trajectory.npz has no column ${name}`);
  return found.values;
}

async function readRoute(file) {
  const points = (await readNpz(file)).get("xyz_m")?.values ?? [];
  const every = (offset) => points.filter((_, place) => place % 3 === offset);
  return { x: every(0), y: every(1) };
}

/**
 * @param {number[]} timeS Ascending.
 * @param {number} wanted
 * @returns {number} Index of the last tick that is not after the wanted time.
 */
export function tickAt(timeS, wanted) {
  let low = 0, high = timeS.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (timeS[middle] <= wanted + 1e-6) low = middle;
    else high = middle - 1;
  }
  return low;
}
