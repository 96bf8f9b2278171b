/** gRPC's status codes of failures, as Go's clients write them. Knows no library. Source: google.golang.org/grpc/codes */
import type { RuntimeErrorCode } from "./runtime-error.ts";

export const CODE_NAMES: Readonly<Record<number, RuntimeErrorCode>> = {
  1: "Canceled",
  2: "Unknown",
  3: "InvalidArgument",
  4: "DeadlineExceeded",
  5: "NotFound",
  6: "AlreadyExists",
  7: "PermissionDenied",
  8: "ResourceExhausted",
  9: "FailedPrecondition",
  10: "Aborted",
  11: "OutOfRange",
  12: "Unimplemented",
  13: "Internal",
  14: "Unavailable",
  15: "DataLoss",
  16: "Unauthenticated",
};
