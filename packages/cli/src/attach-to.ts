/** Standard streams of a container that runs already. */
import { core } from "@knarr/api/generated/resources.ts";
import type { Pod } from "@knarr/api/generated/types/core-v1.ts";
import { keyOf } from "@knarr/apimachinery/object.ts";
import { objectPath } from "@knarr/apimachinery/resource.ts";
import { defaultContainer } from "./default-container.ts";
import { runRemoteStreams } from "./remote-streams.ts";
import type { CliContext, Connection } from "./verb.ts";

/** Resolves when the container's streams end. */
export async function attachTo(
  pod: Pod,
  container: string | undefined,
  wanted: { readonly stdin: boolean; readonly tty: boolean },
  { client }: Connection,
  context: CliContext,
): Promise<void> {
  const { name, note } = defaultContainer(pod);
  const chosen = container ?? name;
  if (container === undefined && note !== undefined) context.stderr.write(note);
  const declared = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find(
    (c) => c.name === chosen,
  );
  const tty = wanted.tty && declared?.tty === true;
  if (wanted.tty && !tty) {
    context.stderr.write(`error: Unable to use a TTY - container ${chosen} did not allocate one\n`);
  }
  await runRemoteStreams(
    client,
    objectPath(core.pods, keyOf(pod), "attach"),
    { container: chosen, stdin: wanted.stdin, stdout: true, stderr: !tty, tty },
    context,
  );
}
