// Loaded before the gateway: binds it to loopback, reports its port, tells providers when a client
// has left, and ends the gateway with its parent.
import { AsyncLocalStorage } from "node:async_hooks";
import { closeSync, writeSync } from "node:fs";
import http from "node:http";
import net from "node:net";

const HOST = "127.0.0.1";
const POLL_MS = 500;
const reportFd = Number(process.env.AGNO_PORTKEY_REPORT_FD);
const parent = Number(process.env.AGNO_PORTKEY_PARENT_PID);

let reported = false;
function report(message) {
  if (reported) return;
  reported = true;
  writeSync(reportFd, JSON.stringify(message) + "\n");
  closeSync(reportFd);
}

// The gateway has no option for its host and would listen on every interface.
function onLoopback([first, ...rest]) {
  if (first !== null && typeof first === "object") return [{ ...first, host: HOST }, ...rest];
  const callback = rest.findLast((argument) => typeof argument === "function");
  return [{ port: Number(first), host: HOST }, callback];
}

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const refused = (error) => {
    report({ code: error.code, message: error.message });
    process.exit(1);
  };
  this.once("error", refused);
  this.once("listening", () => {
    this.off("error", refused);
    report({ port: this.address().port });
  });
  return listen.apply(this, onLoopback(args));
};

// The gateway reads a provider's answer to its end, and lets it be paid for, although the client
// has left. So each request carries a signal with it, which every fetch on its behalf obeys.
const departure = new AsyncLocalStorage();
const left = new DOMException("The client has left.", "AbortError");

const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, ...args) {
  if (event !== "request") return emit.call(this, event, ...args);
  const [, response] = args;
  const controller = new AbortController();
  response.once("close", () => {
    // Later than the gateway's own listeners: a body that they cancel ends without an error.
    if (!response.writableFinished) setImmediate(() => controller.abort(left));
  });
  return departure.run(controller.signal, () => emit.call(this, event, ...args));
};

const fetch = globalThis.fetch;
globalThis.fetch = (resource, options) => {
  const gone = departure.getStore();
  if (!gone) return fetch(resource, options);
  // The gateway's request_timeout has a signal of its own.
  const own = options?.signal ?? (resource instanceof Request ? resource.signal : undefined);
  return fetch(resource, { ...options, signal: own ? AbortSignal.any([own, gone]) : gone });
};

// What the gateway says of a request that was broken off for this reason is no error of anybody's.
const error = console.error;
console.error = (...args) => {
  if (!departure.getStore()?.aborted) error.apply(console, args);
};

// The parent holds the other end of stdin and never writes: its end means that the parent ended.
// A process forked from the parent may hold that end too, so the parent is also polled.
const end = () => process.exit(0);
process.stdin.on("end", end).on("error", end).resume();
setInterval(() => process.ppid === parent || end(), POLL_MS).unref();
