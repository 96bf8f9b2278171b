/** From a daemon's --help to a manual page. Pure. Source of the format: man(7) */

export interface Help {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly { readonly flag: string; readonly text: string }[];
}

/** Reads what parseFlags() prints for --help. Throws when it is something else. */
export function parseHelp(text: string): Help {
  const [usage = "", rest = ""] = text.split(/\n\nOptions:\n/);
  const name = /^Usage: (\S+)/.exec(usage)?.[1];
  if (name === undefined || rest === "") throw new Error(`not a daemon's --help:\n${text.slice(0, 200)}`);
  const flags: { flag: string; text: string }[] = [];
  for (const line of rest.split("\n")) {
    const start = /^ {2}(-\S.*?)(?: {2,}(.*))?$/.exec(line);
    const last = flags.at(-1);
    if (start !== null) flags.push({ flag: start[1] ?? "", text: start[2] ?? "" });
    else if (line.trim() !== "" && last !== undefined) last.text = `${last.text} ${line.trim()}`.trim();
  }
  return { name, description: usage.split("\n").slice(1).join(" ").trim(), flags };
}

/** A backslash is roff's escape, a leading dot or quote its request. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/, "\\&$1");
}

export function renderManPage({ name, description, flags }: Help, readme: string): string {
  const lines = [
    `.TH ${name.toUpperCase()} 8 "" "Knarr" "Knarr's daemons"`,
    ".SH NAME",
    `${roff(name)} \\- ${roff(description.replace(/\.$/, ""))}`,
    ".SH SYNOPSIS",
    `.B ${roff(name)}`,
    ".RI [ options ]",
    ".SH DESCRIPTION",
    roff(description),
    "Flags, files and ports are upstream's where upstream has this daemon.",
    ".SH OPTIONS",
    ...flags.flatMap(({ flag, text }) => [".TP", `.B ${roff(flag)}`, roff(text)]),
    ".SH SEE ALSO",
    roff(readme),
    "",
  ];
  return lines.join("\n");
}
