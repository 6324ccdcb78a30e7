// What client.js has, for editors and TypeScript; a test holds it to client.js.

import type { Answer, Collection, Error as Refusal, Fetching, Hit, PoolWithRejections, Search } from "./client-types.d.ts";

export type * from "./client-types.d.ts";

/** The longest pause before another try; what asks for a longer one is raised at once. */
export const LONGEST_RETRY_SECONDS: number;

/** What has come so far: without pictures while none is there. */
export type SoFar = Answer | (Fetching & { results: []; complete: false });

/** Why there is no answer; the message is a sentence for a person. */
export class SearchFailed extends Error {
  /**
   * `late`: silent for too long; `refused` by the API; `login`: by what stands before it; `odd`: no answer of
   * this API; `older`: of a version that took no notice of a part of the search.
   */
  kind: "unreached" | "late" | "refused" | "login" | "odd" | "older" | "unfinished";
  /** The HTTP status, 0 without an answer. */
  status: number;
  /** The API's own; empty without one. */
  error: Refusal["error"] | Record<string, never>;
  /** When to try again, 0 where nobody says when; null where that cannot help. */
  retrySeconds: number | null;
  /** The same can never succeed. */
  isForEver: boolean;
  /** How often it was asked. */
  tries: number;
}

export interface Patience {
  /** Ends it, with an AbortError. */
  signal?: AbortSignal;
  /** How often it is tried again, at the most. */
  retries?: number;
  /** Waits before another try; may throw the failure instead. */
  pause?: (failure: SearchFailed, signal?: AbortSignal) => Promise<void>;
  /** Is given the promise of each question, and returns one that ends with it. */
  during?: <T>(asking: Promise<T>) => Promise<T>;
}

export interface Asking extends Patience {
  /** The `next` of an answer to the same search, for what comes after it. */
  cursor?: string | null;
}

export class Client {
  constructor(url: string | URL, options?: {
    /** For a server that asks for one. */
    apiKey?: string;
    /** Called when a search is refused for the lack of a key; returns another one, or "". */
    askForKey?: () => string | Promise<string>;
    /** Used instead of the platform's own. */
    fetch?: typeof fetch;
  });
  search(search: Search, options?: Asking): AsyncGenerator<Hit>;
  page(search: Search, options?: Asking): Promise<SoFar>;
  answers(search: Search, options?: Asking): AsyncGenerator<SoFar>;
  /** waitSeconds: how long the server may wait for the pictures of the keyword. */
  ask(search: Search, options?: Asking & { waitSeconds?: number }): Promise<SoFar>;
  pool(poolId: string, options?: Patience): Promise<PoolWithRejections>;
  collections(options?: Patience): Promise<Collection[]>;
  question(search: Search, options?: { waitSeconds?: number; cursor?: string | null }): [URL, RequestInit];
}

export function isLast(answer: SoFar, search: Search): boolean;
export function sleep(seconds: number, signal?: AbortSignal): Promise<void>;
