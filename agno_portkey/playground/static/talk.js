// The talk with one team or agent: sends, follows, stops, and takes up what a reload left.

import { Refused } from "./api.js";
import { announce, byId, short } from "./dom.js";
import { goesOn, runsOf, told } from "./history.js";
import { fresh, keep, kept } from "./kept.js";
import { Pump } from "./pump.js";
import { Turn } from "./run.js";
import { begin, cancel, follow } from "./stream.js";

const NEAR = 120;
// Of a session that is opened.
const MOST = 20;

export class Talk {
  /** `ended(turn)` hears of each end, `heard(event)` of what may change what waits. */
  constructor({ desk, ended, heard, busy }) {
    Object.assign(this, { desk, ended, heard, busy });
    this.place = null;
    this.live = null; // {turn, run, abort, stopping}
    this.log = byId("log");
    this.turns = byId("turns");
    this.asked = new Map(); // what was asked in the run of a clearance
  }

  get session() {
    return kept().session;
  }

  /** Leave what is shown (a run goes on, at the server) for `session`, or for a new one. */
  async open(place, session) {
    this.leave();
    this.place = place;
    const before = kept();
    const same = before.session && before.session === session && before.place?.id === place.id;
    const none = { run: null, ask: null, sending: false };
    if (!same) keep({ place, session: session ?? fresh(), ...none });
    this.turns.replaceChildren();
    this.#empty();
    if (session) await this.#restore(same ? before : {});
  }

  leave() {
    this.live?.abort.abort();
    this.live = null;
    this.busy(null);
    this.opened = Symbol("what is open");
    this.trouble("");
  }

  async #restore({ run, ask, sending }) {
    const opened = this.opened;
    let past = () => {};
    this.past = new Promise((resolve) => {
      past = resolve;
    });
    let runs = [];
    try {
      runs = await runsOf(this.place, this.session);
    } catch (error) {
      // A session that nothing is stored of yet.
      if (error.status !== 404 && !run) this.trouble(error.message);
    }
    if (opened !== this.opened) return past();
    // Sent, and reloaded before the server said which run it is.
    const mine = run ?? (sending ? runs.findLast(goesOn)?.run_id : null);
    for (const each of runs.filter((one) => one.run_id !== mine).slice(-MOST)) {
      await this.#replayed(each);
      if (opened !== this.opened) return past();
    }
    past();
    if (mine) await this.#follow(this.#turn(ask ?? runs.find((one) => one.run_id === mine)?.run_input), mine);
    else keep({ sending: false });
    return undefined;
  }

  async #replayed(stored) {
    const turn = this.#turn(stored.run_input);
    if (goesOn(stored)) {
      await this.#follow(turn, stored.run_id);
      return;
    }
    const pump = new Pump((event) => turn.heard(event), () => {});
    const signal = AbortSignal.timeout(15_000);
    try {
      const on = { event: (event) => pump.push(event), link: () => {} };
      const end = await follow(this.place, stored.run_id, this.session, on, signal);
      await pump.empty();
      if (end.event === "gone") told(turn, stored);
    } catch {
      told(turn, stored);
    }
    this.#bottom(true);
  }

  #turn(ask) {
    const said = ask === undefined || ask === null ? null : String(ask);
    const turn = new Turn({
      ask: said,
      name: this.place.name,
      desk: this.desk,
      changed: () => this.#progress(turn),
    });
    this.turns.append(turn.box);
    this.#empty();
    this.#bottom(true);
    return turn;
  }

  /** Ask `text`; says whether it was sent. */
  async send(text) {
    // What was said before stands above it.
    await this.past;
    if (!this.free) return false;
    this.trouble("");
    const turn = this.#turn(text);
    const abort = new AbortController();
    const live = (this.live = { turn, run: null, abort, stopping: false });
    this.busy(live);
    keep({ ask: text, run: null, sending: true });
    announce("Sent");
    try {
      live.run = await begin(this.place, text, this.session, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) return true;
      this.#failed(turn, error);
      keep({ sending: false });
      this.#over(live);
      return true;
    }
    if (this.live !== live) return true;
    if (live.stopping) this.#cancel(live);
    await this.#follow(turn, live.run, live);
    return true;
  }

  async #follow(turn, run, before = null) {
    const live = before ?? { turn, run, abort: new AbortController(), stopping: false };
    this.live = live;
    this.busy(live);
    turn.run = run;
    keep({ run, ask: turn.ask, sending: false });
    const pump = new Pump(
      (event) => {
        turn.heard(event);
        if (event.event === "CustomEvent") this.#custom(event, turn);
      },
      () => {
        turn.figure();
        this.#bottom();
      },
    );
    const on = { event: (event) => pump.push(event), link: (state, error) => this.#link(state, error) };
    try {
      const end = await follow(this.place, run, this.session, on, live.abort.signal);
      await pump.empty();
      if (end.event === "gone") await this.#stored(turn, run);
    } catch (error) {
      if (live.abort.signal.aborted) return;
      await pump.empty();
      this.#failed(turn, error);
    }
    if (this.live === live) this.#over(live);
  }

  async #stored(turn, run) {
    const stored = (await runsOf(this.place, this.session)).find((each) => each.run_id === run);
    if (!stored) throw new Refused(404, "The server has nothing of this run any more.");
    told(turn, stored);
  }

  #custom(event, turn) {
    if (event.kind !== "gate" && event.kind !== "approval" && event.kind !== "stop") return;
    const id = turn.box.querySelector(".gate.waiting[data-clearance]")?.dataset.clearance;
    if (id) this.asked.set(id, turn.ask);
    this.heard(event);
  }

  #over(live) {
    if (live.turn.state === "running" || live.turn.state === "stopping") live.turn.end("unknown");
    this.live = null;
    keep({ run: null, ask: null, sending: false });
    this.busy(null);
    this.#bottom();
    this.ended(live.turn);
  }

  #failed(turn, error) {
    const words = error instanceof Refused ? error.message : `The page failed: ${error.message}`;
    turn.onRunError({ content: words, run_id: turn.run }, turn.leader);
    this.trouble("");
  }

  /** Stop what runs. */
  async stop() {
    const live = this.live;
    if (!live || live.stopping || live.turn.state !== "running") return;
    live.stopping = true;
    live.turn.become("stopping");
    announce("Stopping");
    if (live.run) await this.#cancel(live);
  }

  async #cancel(live) {
    try {
      await cancel(this.place, live.run, this.session);
    } catch (error) {
      live.stopping = false;
      // It may have ended meanwhile.
      if (live.turn.state !== "stopping") return;
      live.turn.become("running");
      this.trouble(`It could not be stopped. ${error.message}`);
    }
  }

  /** Whether something can be asked now. */
  get free() {
    return !this.live && Boolean(this.place);
  }

  /** Ask again for what was approved; its session is open. */
  again(gate) {
    this.send(this.asked.get(gate.id) ?? `Run the approved plan ${gate.id}.`);
  }

  #link(state, error) {
    if (state === "live") this.trouble("");
    else this.trouble(`${error.message} Trying again; nothing is lost.`);
  }

  trouble(text) {
    const box = byId("trouble");
    if (box.textContent === text) return;
    box.textContent = text;
    box.className = text ? "notice warn" : "";
  }

  #progress(turn) {
    if (this.live?.turn !== turn) return;
    const { stage, member, step, of } = turn.progress;
    const rate = turn.pace.rate ?? turn.totals.rate;
    const parts = [member && short(member, 60), stage];
    if (of) parts.push(`step ${step} of ${of}`);
    if (rate) parts.push(`${Math.round(rate)} tokens/s`);
    byId("stage").textContent = parts.filter(Boolean).join(" · ");
    const bar = byId("steps");
    bar.hidden = !of;
    bar.max = of || 1;
    bar.value = step;
  }

  #empty() {
    byId("empty").hidden = this.turns.childElementCount > 0;
  }

  /** Stay at the end, where the reader is there. */
  #bottom(always = false) {
    const { log } = this;
    if (always) this.stuck = true;
    if (this.stuck ?? true) log.scrollTop = log.scrollHeight;
  }

  /** The reader has scrolled. */
  scrolled() {
    this.stuck = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR;
  }
}
