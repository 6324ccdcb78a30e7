// What client.js has, for editors and TypeScript; a test holds it to client.js.

import type { Answer, Collection, Error as Refusal, Fetching, Hit, PoolWithRejections, Search } from "./client-types.d.ts";

export type * from "./client-types.d.ts";

/** The longest pause before another try; what asks for a longer one is raised at once. */
export const LONGEST_RETRY_SECONDS: number;

/** What has come so far: without pictures while none is there. */
export type SoFar = Answer | (Fetching & { results: []; complete: false });

export class SearchFailed extends Error {
  kind: "unreached" | "late" | "refused" | "odd" | "unfinished";
  status: number;
  error: Refusal["error"] | Record<string, never>;
  retrySeconds: number | null;
  isForEver: boolean;
  tries: number;
}

export interface Asking {
  signal?: AbortSignal;
  cursor?: string | null;
  retries?: number;
  pause?: (failure: SearchFailed, signal?: AbortSignal) => Promise<void>;
  during?: <T>(asking: Promise<T>) => Promise<T>;
}

export class Client {
  constructor(url: string | URL, options?: {
    apiKey?: string;
    askForKey?: () => string | Promise<string>;
    fetch?: typeof fetch;
  });
  search(search: Search, options?: Asking): AsyncGenerator<Hit>;
  page(search: Search, options?: Asking): Promise<SoFar>;
  answers(search: Search, options?: Asking): AsyncGenerator<SoFar>;
  ask(search: Search, options?: Asking & { waitSeconds?: number }): Promise<SoFar>;
  pool(poolId: string, options?: { signal?: AbortSignal }): Promise<PoolWithRejections>;
  collections(options?: { signal?: AbortSignal }): Promise<Collection[]>;
  question(search: Search, options?: { waitSeconds?: number; cursor?: string | null }): [URL, RequestInit];
}

export function isLast(answer: SoFar, search: Search): boolean;
export function sleep(seconds: number, signal?: AbortSignal): Promise<void>;
