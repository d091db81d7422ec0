/** Requests to the server of this page. All addresses are relative: the token is part of the page's own. */

/** Why a request failed, as a sentence to show; `status` 0: the server did not answer. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** Returns the JSON of a GET; throws ApiError, or the signal's AbortError. */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await request(path, { signal })).json()) as T;
}

/** Returns the bytes of a GET; throws as `getJson`. */
export async function getBytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  return (await request(path, { signal })).arrayBuffer();
}

/** Sends JSON and returns the JSON of the answer; throws as `getJson`. */
export async function postJson<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const headers = { "Content-Type": "application/json" };
  const answer = await request(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  return (await answer.json()) as T;
}

/** Sends a file as it is, with its name; throws as `getJson`. */
export async function postFile<T>(path: string, file: File, signal?: AbortSignal): Promise<T> {
  const headers = { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) };
  return (await (await request(path, { method: "POST", headers, body: file, signal })).json()) as T;
}

/** Deletes; returns the JSON of the answer; throws as `getJson`. */
export async function deleteJson<T>(path: string): Promise<T> {
  return (await (await request(path, { method: "DELETE" })).json()) as T;
}

/** Returns whether an error is only that a request was cancelled. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Returns the sentence to show for an error. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function request(path: string, options: RequestInit & { signal?: AbortSignal | undefined }): Promise<Response> {
  let answer: Response;
  try {
    const { signal, ...rest } = options;
    answer = await fetch(path, signal ? { ...rest, signal } : rest);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError("The server does not answer. Is the command still running?", 0);
  }
  if (answer.ok) return answer;
  throw new ApiError(await readSentence(answer), answer.status);
}

async function readSentence(answer: Response): Promise<string> {
  try {
    const told = (await answer.json()) as { error?: unknown };
    if (typeof told.error === "string") return told.error;
  } catch {
    // Not JSON: the status is all that is known.
  }
  return `The server answered with status ${answer.status}.`;
}
