// Server-sent events over fetch: the browser's own EventSource cannot send an API key.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

import { ask } from "../api.js";

/**
 * @param {string} path
 * @param {AbortSignal} signal
 * @yields {{kind: string, data: string}} Until the server ends, or the signal does.
 * @throws {import("../api.js").ServerError} If the server refuses.
 */
export async function* eventsOf(path, signal) {
  const answer = await ask(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      if (event.data) yield event;
    }
  }
}

function parsed(block) {
  const event = { kind: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event.kind = line.slice(7);
    if (line.startsWith("data: ")) event.data += line.slice(6);
  }
  return event;
}
