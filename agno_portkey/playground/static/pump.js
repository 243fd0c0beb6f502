// Events, worked off in slices: however many come at once, the page stays at the reader's hand.

const SLICE = 10;
// What is not seen is not drawn either, and its timers come once a second.
const HIDDEN = 200;

export class Pump {
  /** `work(event)` takes one in; `drawn()` hears of the end of each slice. */
  constructor(work, drawn) {
    Object.assign(this, { work, drawn, waiting: [], at: 0, timer: 0, done: [] });
  }

  push(event) {
    this.waiting.push(event);
    this.timer ||= setTimeout(() => this.#slice());
  }

  /** Resolves once all that was pushed is worked off. */
  empty() {
    if (this.at >= this.waiting.length) return Promise.resolve();
    return new Promise((resolve) => this.done.push(resolve));
  }

  #slice() {
    const until = performance.now() + (document.hidden ? HIDDEN : SLICE);
    while (this.at < this.waiting.length && performance.now() < until) {
      try {
        this.work(this.waiting[this.at]);
      } catch (error) {
        console.error("an event could not be shown", error);
      }
      this.at += 1;
    }
    const over = this.at >= this.waiting.length;
    if (over) {
      this.waiting = [];
      this.at = 0;
    }
    this.timer = over ? 0 : setTimeout(() => this.#slice());
    this.drawn();
    if (over) for (const each of this.done.splice(0)) each();
  }
}
