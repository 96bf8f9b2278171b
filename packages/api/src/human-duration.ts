/**
 * Ages as kubectl shows them: two units at the most, the coarser the older.
 * Source: k8s.io/apimachinery/pkg/util/duration HumanDuration
 */

/** "5s", "3m12s", "47h", "9d", "2y15d"; "<invalid>" for times in the future. */
export function humanDuration(ms: number): string {
  // Up to two seconds of clock skew between machines are shown as 0s.
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(ms / 60_000);
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(ms / 3_600_000);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (hours < 192) return pair(days, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  if (hours < 24 * 365 * 8) return pair(years, "y", days % 365, "d");
  return `${years}y`;
}

function pair(major: number, majorUnit: string, minor: number, minorUnit: string): string {
  return minor === 0 ? `${major}${majorUnit}` : `${major}${majorUnit}${minor}${minorUnit}`;
}

/** Time since an RFC 3339 stamp; "<unknown>" when there is none. */
export function ageSince(time: string | undefined, now: number): string {
  if (time === undefined || time === "") return "<unknown>";
  return humanDuration(now - Date.parse(time));
}
