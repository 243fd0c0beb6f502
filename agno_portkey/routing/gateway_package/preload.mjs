// Loaded before the gateway: binds it to loopback, reports its port, and ends it with its parent.
import { closeSync, writeSync } from "node:fs";
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

// The parent holds the other end of stdin and never writes: its end means that the parent ended.
// A process forked from the parent may hold that end too, so the parent is also polled.
const end = () => process.exit(0);
process.stdin.on("end", end).on("error", end).resume();
setInterval(() => process.ppid === parent || end(), POLL_MS).unref();
