/**
 * The binary index of an output: what filters and sorting need of every image and object.
 *
 * Layout, as `ui/gallery/index.py` writes it: header length (uint32, little-endian), a JSON header
 * {"columns": {name: {type, offset, length}}, "errors": [sentence]}, padding to a multiple of 8,
 * then the data; offsets are bytes from the start of the data, lengths are numbers of values.
 */

export const LABELLED = 0;
export const EMPTY = 1;
export const FAILED = 2;
/** Bits of `flags`. */
export const SEEN = 1;
export const DISAGREES = 2;
/** Values of `verdict`, by their number. */
export const VERDICTS = ["none", "accepted", "renamed", "redrawn", "rejected", "added"] as const;
/** Value of `error` of images that did not fail. */
export const NO_ERROR = 0xffffffff;

/**
 * Columns of N images and M objects; the objects of image i are firstObject[i] .. firstObject[i+1].
 * Scores, risks and margins are NaN where unknown, `difference` where an image is in one run alone.
 */
export interface Index {
  readonly images: number;
  readonly objects: number;
  readonly errors: readonly string[];
  readonly status: Uint8Array;
  readonly error: Uint32Array;
  readonly firstObject: Uint32Array;
  readonly width: Int32Array;
  readonly height: Int32Array;
  readonly category: Uint32Array;
  readonly score: Float32Array;
  readonly risk: Float32Array;
  readonly margin: Float32Array;
  readonly flags: Uint8Array;
  readonly verdict: Uint8Array;
  /** Objects that differ from the run compared with; null where none is compared. */
  readonly difference: Float32Array | null;
}

interface ColumnPlace {
  readonly type: string;
  readonly offset: number;
  readonly length: number;
}

interface Header {
  readonly columns: Readonly<Record<string, ColumnPlace>>;
  readonly errors: readonly string[];
}

const TYPES = {
  u8: Uint8Array,
  u16: Uint16Array,
  u32: Uint32Array,
  i32: Int32Array,
  f32: Float32Array,
} as const;

type TypeName = keyof typeof TYPES;

/** Returns the columns of an index; an Error whose message is a sentence where it is not one. */
export function parseIndex(bytes: ArrayBuffer): Index {
  const { header, start } = readHeader(bytes);
  const read = <T extends TypeName>(name: string, type: T): InstanceType<(typeof TYPES)[T]> => {
    const place = header.columns[name];
    if (place === undefined || place.type !== type) {
      throw new Error(`expected a column ${name} of type ${type} in the index; reload the page`);
    }
    const offset = start + place.offset;
    if (offset + place.length * TYPES[type].BYTES_PER_ELEMENT > bytes.byteLength) {
      throw new Error(`the index ends within its column ${name}; reload the page`);
    }
    return new TYPES[type](bytes, offset, place.length) as InstanceType<(typeof TYPES)[T]>;
  };
  const status = read("status", "u8");
  const category = read("category", "u32");
  const index = {
    images: status.length,
    objects: category.length,
    errors: header.errors,
    status,
    error: read("error", "u32"),
    firstObject: read("first_object", "u32"),
    width: read("width", "i32"),
    height: read("height", "i32"),
    category,
    score: read("score", "f32"),
    risk: read("risk", "f32"),
    margin: read("margin", "f32"),
    flags: read("flags", "u8"),
    verdict: read("verdict", "u8"),
    difference: "difference" in header.columns ? read("difference", "f32") : null,
  };
  if (index.firstObject.length !== index.images + 1 || (index.firstObject[index.images] ?? 0) !== index.objects) {
    throw new Error("the index names other objects than it has; reload the page");
  }
  return index;
}

function readHeader(bytes: ArrayBuffer): { header: Header; start: number } {
  const length = bytes.byteLength < 4 ? 0 : new DataView(bytes).getUint32(0, true);
  if (length === 0 || 4 + length > bytes.byteLength) {
    throw new Error("expected the index of an output, got something else; reload the page");
  }
  const text = new TextDecoder().decode(new Uint8Array(bytes, 4, length));
  return { header: JSON.parse(text) as Header, start: Math.ceil((4 + length) / 8) * 8 };
}

/** Returns the image of each object: (M,) numbers of images. */
export function findImageOfObjects(index: Index): Uint32Array {
  const owner = new Uint32Array(index.objects);
  for (let image = 0; image < index.images; image++) {
    const end = index.firstObject[image + 1] ?? 0;
    for (let object = index.firstObject[image] ?? 0; object < end; object++) owner[object] = image;
  }
  return owner;
}
