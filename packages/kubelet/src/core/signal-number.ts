/** Signals by the names that a container's lifecycle.stopSignal may have. Pure. Source: core/v1 Signal, signal(7) */

const NAMES = (
  "SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM " +
  "SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO " +
  "SIGPWR SIGSYS"
).split(" ");
const ALIASES: Readonly<Record<string, string>> = { SIGCLD: "SIGCHLD", SIGIOT: "SIGABRT", SIGPOLL: "SIGIO" };
const RTMIN = 34;
const RTMAX = 64;

/** Linux' number of a signal; undefined for what is none. Real-time signals count from the ends: SIGRTMINPLUS1. */
export function signalNumber(name: string): number | undefined {
  const index = NAMES.indexOf(ALIASES[name] ?? name);
  if (index >= 0) return index + 1;
  if (name === "SIGRTMIN") return RTMIN;
  if (name === "SIGRTMAX") return RTMAX;
  const [, end, count] = /^SIGRT(MINPLUS|MAXMINUS)(\d{1,2})$/.exec(name) ?? [];
  if (count === undefined) return undefined;
  const number = end === "MINPLUS" ? RTMIN + Number(count) : RTMAX - Number(count);
  return number >= RTMIN && number <= RTMAX ? number : undefined;
}
