// Requests to the server that this page came from, and nowhere else.

import { apiKey, askForKey } from "./api_key.js";
import { element } from "./dom.js";

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

/**
 * Server-sent events over fetch: the browser's own EventSource cannot send an API key.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 * @param {string} path
 * @param {AbortSignal} signal
 * @yields {{kind: string, data: any}} `data` is parsed JSON. Until the server ends, or the signal does.
 * @throws {ServerError} If the server refuses.
 */
export async function* eventsOf(path, signal) {
  const reader = (await ask(path, { signal })).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
      if (field("data")) yield { kind: field("event"), data: JSON.parse(field("data")) };
    }
  }
}

/**
 * Show a failure in the server's own words.
 * @param {HTMLElement} place
 * @param {unknown} error Null: there is none.
 */
export function showFailure(place, error) {
  place.hidden = error === null;
  const { message = String(error ?? ""), status = 0 } = error ?? {};
  place.replaceChildren(status ? `${message} (${status})` : message);
  if (status !== 401 && status !== 403) return;
  const button = element("button", { type: "button", class: "button" }, "Enter an API key");
  button.addEventListener("click", askForKey);
  place.append(button);
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
