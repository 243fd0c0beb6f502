// One run's events, each once: replayed from the start or from where we were, then live.

import { ask, Refused } from "./api.js";

const ENDS = /^(Team)?Run(Completed|Error|Cancelled|Paused)$/;
// Milliseconds between attempts.
const FIRST = 400;
const LONGEST = 10_000;

/** The frames of a server-sent stream, as {event, data}; `body` is a ReadableStream of bytes. */
export async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      // Only what is new is looked at: a frame may come in many pieces.
      const seen = Math.max(0, rest.length - 1);
      // Lines may end in CRLF; a CR in what is said is written as \\r.
      rest += value.replaceAll("\r", "");
      let from = 0;
      let at = rest.indexOf("\n\n", seen);
      while (at >= 0) {
        const frame = framed(rest.slice(from, at));
        if (frame) yield frame;
        from = at + 2;
        at = rest.indexOf("\n\n", from);
      }
      rest = rest.slice(from);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function framed(block) {
  const data = block
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).trimStart())
    .join("\n");
  if (!data) return null; // a heartbeat
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}

const runs = (place) => `/${place.kind}s/${encodeURIComponent(place.id)}/runs`;

/** Begin a run of `place` ({kind: team or agent, id}); its id. It goes on without this request. */
export async function begin(place, message, session, signal) {
  const answer = await ask("POST", runs(place), {
    form: { message, session_id: session, stream: "true", background: "true" },
    needs: `${place.kind}s:run`,
    signal,
  });
  for await (const event of frames(answer.body)) {
    if (event.run_id) return event.parent_run_id || event.run_id;
    if (event.event === "error" || event.error || /^(Team)?RunError$/.test(event.event)) {
      throw new Refused(500, String(event.error ?? event.content ?? "The run did not begin."));
    }
  }
  throw new Refused(500, "The run did not begin, and the server does not say why.");
}

/** Ask that a run end. */
export const cancel = (place, run, session) =>
  ask("POST", `${runs(place)}/${encodeURIComponent(run)}/cancel?session_id=${encodeURIComponent(session)}`, {
    needs: `${place.kind}s:run`,
  });

/**
 * Follow `run` from its first event to its last, over whatever breaks in between.
 *
 * `on.event(event)` hears of each event once, in order; `on.link(state, error)` of the connection:
 * live, lost (and tried again). Resolves to how it ended: the last event, or {status} of a run
 * whose last events are gone. Raises Refused for what trying again does not mend.
 */
export async function follow(place, run, session, on, signal) {
  let last = -1;
  let ended = null;
  let failures = 0;
  for (;;) {
    try {
      const answer = await ask("POST", `${runs(place)}/${encodeURIComponent(run)}/resume`, {
        form: { session_id: session, ...(last >= 0 && { last_event_index: String(last) }) },
        needs: `${place.kind}s:run`,
        signal,
      });
      on.link("live");
      let over = null;
      for await (const event of frames(answer.body)) {
        if (event?.event === "replay") over = event;
        if (event?.event === "error") throw lost(String(event.error));
        const index = event?.event_index;
        if (!Number.isSafeInteger(index) || index <= last) continue;
        failures = 0;
        last = index;
        on.event(event);
        if ((event.run_id ?? run) === run && ENDS.test(event.event)) ended = event;
      }
      if (ended) return ended;
      // What is replayed does not go on: there is no more of it than this.
      if (over) return { event: "gone", status: over.status };
      throw new Refused(0, "The connection ended before the run did.");
    } catch (error) {
      if (ended) return ended;
      if (signal?.aborted) throw error;
      const known = error instanceof Refused ? error : new Refused(0, "The connection broke.");
      if (!known.passing) throw known;
      on.link("lost", known);
      await pause(known.after * 1000 || Math.min(LONGEST, FIRST * 2 ** failures), signal);
      failures += 1;
    }
  }
}

/** Only a run that is nowhere is lost for good; else the server says what does not go just now. */
const lost = (words) => new Refused(/ not found /.test(words) ? 404 : 503, words);

/** Wait, or less where the network is back before. */
function pause(longest, signal) {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      removeEventListener("online", go);
      resolve();
    };
    const timer = setTimeout(go, longest * (0.75 + Math.random() / 4));
    addEventListener("online", go);
    signal?.addEventListener("abort", go);
  });
}
