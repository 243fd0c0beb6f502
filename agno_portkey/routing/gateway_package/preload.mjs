// Loaded before the gateway: binds it to loopback, reports its port, tells providers when a client
// has left, keeps it from the machine's own network, and ends the gateway with its parent.
import { AsyncLocalStorage } from "node:async_hooks";
import dns from "node:dns";
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
globalThis.fetch = async (resource, options) => {
  const gone = departure.getStore();
  // The gateway's request_timeout has a signal of its own.
  const own = options?.signal ?? (resource instanceof Request ? resource.signal : undefined);
  const signals = [own, gone].filter(Boolean);
  const answer = await fetch(resource, {
    ...options,
    // A provider's redirect would take the request, its keys and the answer anywhere.
    redirect: "manual",
    ...(signals.length && { signal: AbortSignal.any(signals) }),
  });
  if (!answer.headers.has("location") || answer.status < 300 || answer.status > 399) return answer;
  await answer.body?.cancel();
  throw new TypeError("fetch failed: the provider's redirect is not followed");
};

// Names are looked up anew for each connection: what was a provider's address when it was given can
// be one of this machine's network now.
const trusted = new Set((process.env.AGNO_PORTKEY_TRUSTED_HOSTS ?? "").split(",").filter(Boolean));
const OWN_NAMES = new Set(["localhost", "host.docker.internal"]);
const refused = new net.BlockList();
for (const [network, bits] of [
  ["0.0.0.0", 8], ["10.0.0.0", 8], ["100.64.0.0", 10], ["127.0.0.0", 8], ["169.254.0.0", 16],
  ["172.16.0.0", 12], ["192.0.0.0", 24], ["192.0.2.0", 24], ["192.88.99.0", 24],
  ["192.168.0.0", 16], ["198.18.0.0", 15], ["198.51.100.0", 24], ["203.0.113.0", 24],
  ["224.0.0.0", 3], ["168.63.129.16", 32],
]) refused.addSubnet(network, bits, "ipv4");
for (const [network, bits] of [
  ["::", 96], ["64:ff9b::", 96], ["64:ff9b:1::", 48], ["100::", 64], ["2001::", 23],
  ["2001:db8::", 32], ["2002::", 16], ["3fff::", 20], ["5f00::", 16], ["fc00::", 7],
  ["fe80::", 10], ["fec0::", 10], ["ff00::", 8],
]) refused.addSubnet(network, bits, "ipv6");

// An IPv4 address inside an IPv6 one is held against the rules for IPv4 by BlockList itself.
function isRefused(address) {
  const family = net.isIP(address);
  return !trusted.has(address) && refused.check(address, family === 6 ? "ipv6" : "ipv4");
}

function refusal(host, address) {
  const where = host === address ? host : `${host} (${address})`;
  const error = new Error(`${where} is an address of this machine's network and not trusted`);
  return Object.assign(error, { code: "EADDRREFUSED" });
}

function lookingOnlyOutside(host, lookup) {
  return (name, options, callback) =>
    lookup(name, options, (error, found, family) => {
      if (error) return callback(error);
      const addresses = Array.isArray(found) ? found.map((each) => each.address) : [found];
      const inside = addresses.find(isRefused);
      return inside ? callback(refusal(host, inside)) : callback(null, found, family);
    });
}

const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...args) {
  // Node's own callers hand over one list, whose first is the options.
  const given = Array.isArray(args[0]) ? args[0] : args;
  const [options] = given;
  if (options === null || typeof options !== "object") {
    this.destroy(new Error("connect with options: others are not checked"));
    return this;
  }
  const host = String(options.host ?? "localhost").toLowerCase();
  if (options.path || OWN_NAMES.has(host) || trusted.has(host)) return connect.apply(this, args);
  if (net.isIP(host)) {
    // The machine itself may be named by its number, as the gateway lets it.
    if (host === "127.0.0.1" || host === "::1" || !isRefused(host)) return connect.apply(this, args);
    this.destroy(refusal(host, host));
    return this;
  }
  given[0] = { ...options, lookup: lookingOnlyOutside(host, options.lookup ?? dns.lookup) };
  return connect.apply(this, args);
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
