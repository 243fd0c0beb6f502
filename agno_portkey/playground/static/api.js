// What the page asks of its server: with the caller's token, and errors in plain words.

import { el } from "./dom.js";

const TOKEN = "agno-portkey.token";

/** An answer that is none: `status` (0: the server was not reached), and words for the reader. */
export class Refused extends Error {
  constructor(status, message, { code = "", scope = "", after = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, scope, after });
  }
  /** Whether the same may do later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export const token = () => sessionStorage.getItem(TOKEN) ?? "";

export function keepToken(said) {
  if (said) sessionStorage.setItem(TOKEN, said);
  else sessionStorage.removeItem(TOKEN);
}

/**
 * The response to a request. `form` or `json` is sent; `needs` is the scope that it takes, which a
 * refusal names. Raises Refused.
 */
export async function ask(method, path, { form, json, needs = "", signal } = {}) {
  const headers = {};
  if (token()) headers.Authorization = `Bearer ${token()}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      signal,
      cache: "no-store",
      body: form ? new URLSearchParams(form) : json && JSON.stringify(json),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server can't be reached.");
  }
  if (answer.ok) return answer;
  throw await refusal(answer, needs);
}

/** The JSON of an answer; Refused where there is none. */
export async function get(path, options) {
  return (await ask("GET", path, options)).json();
}

export async function post(path, json, options) {
  return (await ask("POST", path, { json, ...options })).json();
}

async function refusal(answer, needs) {
  let detail = null;
  try {
    ({ detail } = await answer.json());
  } catch {
    // no JSON: the status says it
  }
  const code = detail?.error ?? "";
  const said = typeof detail === "string" ? detail : (detail?.message ?? "");
  const after = Number(answer.headers.get("Retry-After")) || 0;
  return new Refused(answer.status, words(answer.status, said, needs, after), {
    code,
    scope: needs,
    after,
  });
}

function words(status, said, needs, after) {
  const also = said ? ` (${said})` : "";
  if (status === 401) return `The server wants to know who you are: give a token.${also}`;
  if (status === 403) {
    return needs
      ? `Your token lacks the scope ${needs}: ask for one that has it.${also}`
      : `Your token does not allow this.${also}`;
  }
  if (status === 404) return `There is no such thing, or no longer.${also}`;
  if (status === 429) {
    return `Too many requests: try again ${after ? `in ${after} s` : "in a while"}.${also}`;
  }
  if (status >= 500) return `The server failed (status ${status}): try again, or see its log.${also}`;
  return said || `The server refused it (status ${status}).`;
}

/** Who asks and what they may do: name, known, authorization, environment, may. */
export async function me() {
  try {
    return await get("/portkey/api/me");
  } catch (error) {
    if (error.status !== 401 && error.status !== 403) throw error;
    return { name: null, known: false, authorization: true, environment: null, may: {} };
  }
}

/** Why the caller may not do what takes `scope`; nothing where they may. */
export function barred(who, scope) {
  if (!who || who.may?.[scope] !== false) {
    return who?.authorization && !who.known ? "Give a token first." : "";
  }
  return who.known ? `Your token lacks the scope ${scope}.` : "Give a token first.";
}

let barredSoFar = 0;

/** Have `button` say why it does nothing, where it does nothing. */
export function bar(button, why) {
  let told = button.nextElementSibling;
  if (!told?.classList.contains("why")) {
    // Of its own: a name in the button's id may hold spaces, and an id that is referred to may not.
    told = el("span.why.small.dim", { id: `why-${(barredSoFar += 1)}` });
    button.after(told);
  }
  told.textContent = why;
  told.hidden = !why;
  if (why) {
    button.setAttribute("aria-disabled", "true");
    button.setAttribute("aria-describedby", told.id);
  } else {
    button.removeAttribute("aria-disabled");
    button.removeAttribute("aria-describedby");
  }
}
