// One question to the reader, in a dialog.

import { byId } from "./dom.js";

/** What the reader answers; null where they don't. `needed`: an empty answer is none. */
export function answered({ title, text, label, yes, needed = false, secret = false, bad = false }) {
  const box = byId("asking");
  const said = byId("asking-said");
  byId("asking-title").textContent = title;
  byId("asking-text").textContent = text;
  byId("asking-label").textContent = label;
  byId("asking-yes").textContent = yes;
  byId("asking-yes").classList.toggle("danger", bad);
  byId("asking-yes").classList.toggle("primary", !bad);
  said.type = secret ? "password" : "text";
  said.required = needed;
  said.value = "";
  return new Promise((resolve) => {
    let answer = null;
    byId("asking-form").onsubmit = () => {
      answer = said.value.trim();
    };
    byId("asking-no").onclick = () => box.close();
    box.onclose = () => resolve(needed && !answer ? null : answer);
    box.showModal();
    said.focus();
  });
}
