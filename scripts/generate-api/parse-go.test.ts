import assert from "node:assert/strict";
import { test } from "node:test";
import { packageFacts } from "./facts.ts";
import type { ApiPackage } from "./packages.ts";
import { parseGoSource } from "./parse-go.ts";

const source = `
package v1

import (
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const DefaultColour Colour = "red"

// Colour has a comment.
// +enum
type Colour string

const (
	Red  Colour = "red" // trailing
	Blue Colour = "blue"
)

type Names []string

// +genclient

// Thing has a marker above a blank line.
// +structType=atomic
type Thing struct {
	metav1.TypeMeta \`json:",inline"\`
	// +optional
	metav1.ObjectMeta \`json:"metadata,omitempty,omitzero" protobuf:"bytes,1,opt,name=metadata"\`
	Part \`json:",inline" protobuf:"bytes,2,opt,name=part"\`
	// +required
	// +default=ref(DefaultColour)
	Colour *Colour \`json:"colour,omitempty" protobuf:"bytes,3,opt,name=colour,casttype=Colour"\`
	// Many of them.
	// +listType=map
	// +listMapKey=name
	// +listMapKey=port
	// +patchStrategy=merge
	// +patchMergeKey=name
	Pods []v1.Pod \`json:"pods" protobuf:"bytes,4,rep,name=pods"\`
	// +default=5
	Size intstr.IntOrString \`json:"size,omitempty" protobuf:"bytes,5,opt,name=size"\`
	hidden int
	Skipped string \`json:"-" protobuf:"-"\`
}

type Part struct {
	Name string \`json:"name" protobuf:"bytes,1,opt,name=name"\`
}
type Empty struct{}
`;

const go = parseGoSource(source);
const home: ApiPackage = { id: "x/v1", file: "x-v1", group: "x", version: "v1", openApiPrefix: "io.k8s.api.x.v1", go };
const thing = packageFacts(home).find((struct) => struct.name === "Thing");

test("parseGoSource() finds structs, named types and constants", () => {
  assert.deepEqual([...go.structs.keys()], ["Thing", "Part", "Empty"]);
  assert.deepEqual(go.named.get("Colour"), { name: "Colour", type: "string", isEnum: true });
  assert.equal(go.named.get("Names")?.type, "[]string");
  assert.deepEqual(go.constants.get("Blue"), { type: "Colour", value: '"blue"' });
});

test("packageFacts() keeps fields in alphabetical order and inlined structs apart", () => {
  assert.deepEqual(
    thing?.fields.map((field) => field.name),
    ["colour", "metadata", "pods", "size"],
  );
  assert.deepEqual(thing?.inlined, [
    { type: "meta/v1.TypeMeta", number: 0 },
    { type: "Part", number: 2 },
  ]);
  assert.equal(thing?.atomic, true);
  assert.equal(thing?.isKind, true);
});

test("packageFacts() reads tags and markers", () => {
  const byName = new Map(thing?.fields.map((field) => [field.name, field]));
  assert.deepEqual(byName.get("colour"), {
    name: "colour",
    type: "*Colour",
    number: 3,
    omitEmpty: true,
    omitZero: false,
    required: true,
    default: "red",
  });
  assert.deepEqual(byName.get("pods"), {
    name: "pods",
    type: "[]core/v1.Pod",
    number: 4,
    omitEmpty: false,
    omitZero: false,
    required: true,
    listType: "map",
    listMapKeys: ["name", "port"],
    patchStrategy: "merge",
    patchMergeKey: "name",
  });
  assert.equal(byName.get("metadata")?.omitZero, true);
  assert.equal(byName.get("size")?.type, "intstr.IntOrString");
  assert.equal(byName.get("size")?.default, 5);
});
