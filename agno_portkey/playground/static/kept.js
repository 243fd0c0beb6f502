// What this tab keeps over a reload: whom it talks to, the session, and the run that goes on.

const KEY = "agno-portkey.chat";

export function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

export function keep(changes) {
  sessionStorage.setItem(KEY, JSON.stringify({ ...kept(), ...changes }));
}

/** An id that nobody else has; `randomUUID` is for HTTPS and this machine alone. */
export function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
}
