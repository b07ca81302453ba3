// Requests to the server that this page came from, and nowhere else.

import { apiKey } from "./api_key.js";

/** What the server says when it refuses; status 0: it could not be reached. */
export class ServerError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} path Relative to the page, so that the server may stand behind a prefix.
 * @returns {string}
 */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>} An answer that is no failure.
 * @throws {ServerError}
 */
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (apiKey()) headers.set("Authorization", `Bearer ${apiKey()}`);
  let answer;
  try {
    answer = await fetch(address(path), { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServerError(0, "The server cannot be reached. Is it still running?");
  }
  if (!answer.ok) throw new ServerError(answer.status, await reason(answer));
  return answer;
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>} The answer's JSON.
 */
export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

/** @param {Response} answer */
async function reason(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `the server answered with status ${answer.status}`;
  }
}
