/**
 * A patch that can't be used. `malformed`: the patch itself is wrong (400); `unappliable`: it does not fit the object
 * (422). Source: k8s.io/apiserver/pkg/endpoints/handlers/patch.go
 */
export class PatchError extends Error {
  readonly kind: "malformed" | "unappliable";
  constructor(kind: PatchError["kind"], message: string) {
    super(message);
    this.name = "PatchError";
    this.kind = kind;
  }
}
