// Written by `make openapi` from docs/openapi.yaml

export interface Search {
  t?: string;
  s_query?: string;
  minus?: string[];
  like?: string[];
  unlike?: string[];
  s_query_weight?: number;
  like_weight?: number[];
  scope?: "pool" | "catalog";
  k?: number;
  cursor?: string;
  orientation?: "all" | "horizontal" | "vertical" | "square";
  colour?: "red" | "orange" | "yellow" | "green" | "turquoise" | "blue" | "lilac" | "pink" | "white" | "gray" | "black" | "brown" | "grayscale";
  tag?: string;
  user?: string;
  source?: string;
  year?: number;
  month?: number;
  collection?: string;
  folder?: string;
  album?: string;
  camera?: string;
  fold?: boolean;
  /** A JPEG, PNG or WebP file of at most 10,000,000 bytes, to be like. */
  picture?: Blob;
  /** How far `picture` counts. Only with it. */
  picture_weight?: number;
  /** A JPEG, PNG or WebP file of at most 10,000,000 bytes, not to be like. */
  unlike_picture?: Blob;
}

export interface Answer {
  /** The `url` of each result. */
  top_urls: string[];
  /** The logit of each result: its score, times a constant of the model, plus another, to three decimals. As the score it need not fall from one to the next. */
  top_scores: number[];
  results: Hit[];
  /** The keyword as it was given, or the first of `keywords`. In scope `catalog` the one that was given, by which nothing is searched there; null without one. */
  keyword: string | null;
  /** Those whose pictures were searched: the one that was given, or those taken from the sentence, the broader one last, where the first has few pictures. None in scope `catalog`. */
  keywords: string[];
  /** The sentence as it was given, with what nobody sees in it, such as NUL, and without blanks around it; null without one. */
  query: string | null;
  /** What was not wanted. */
  minus: string[];
  /** The stored pictures that were given. */
  like: string[];
  /** Whether a picture was given. */
  picture: boolean;
  /** The stored pictures not to be like. */
  unlike: string[];
  /** Whether a picture not to be like was given. */
  unlike_picture: boolean;
  scope: "pool" | "catalog";
  /** The filters that were given, by name. */
  filters: Record<string, string>;
  /** Whether pictures that look the same are one result. */
  fold: boolean;
  /** How many pictures of the pool the filters leave; null in scope `catalog`, and where nothing was compared. */
  matching: number | null;
  /** False when there are fewer than `k` results, and may be more: over everything only the 1000 nearest pictures are looked at, which filters may leave out and `fold` may make one result of. */
  exhaustive: boolean;
  /** True when the sentence was longer than what the model reads. */
  query_truncated: boolean;
  /** Whether any picture compared is at least a `fair` match, on whichever page: false, too, where there is none at all. Null where nothing is claimed of those that there are: the model was never calibrated, or the query has `like` or a picture, or its sentence is punctuation alone. */
  matched: boolean | null;
  /** False while pictures are still being fetched or embedded. */
  complete: boolean;
  /** The share of all stored pictures that was searched: under 1 while some wait for a new model. Null in scope `pool`. */
  covered: number | null;
  /** The `cursor` of the pictures that follow; null at the end. */
  next: string | null;
  /** True when the pool has changed since the cursor's answer (it has grown, was fetched anew, or the model is another), so that these are the first pictures again. */
  restarted: boolean;
  /** The keyword's pool; null in scope `catalog`. */
  pool: Pool | null;
  timings: Timings;
}

export interface Hit {
  /** Names the picture, for ever: `pixabay-736885`. */
  image_id: string;
  /** Our copy of it, which any page may draw. */
  url: string;
  /** Its page at the source, which asks to be linked, and of an own picture the file itself; empty where there is none. */
  page_url: string;
  /** In pixels; 0 where it is not known. */
  width: number;
  /** In pixels; 0 where it is not known. */
  height: number;
  credit: Credit;
  /** What the source says is in it. */
  tags: string[];
  /** Its main colours, in the words of the filter; none where they are not known. */
  colours: string[];
  /** When it came to its source, or was taken; null where that is not known. */
  year: number | null;
  /** The month of that year; null where that is not known. */
  month: number | null;
  /** What is known of a picture of a collection beside the rest; null of any other. */
  own: Own | null;
  /** Cosine of picture and sentence. Pictures are ranked by it less what each has in common with any sentence and, of some models, by the least of the things that the sentence names, so that it need not fall from one to the next. */
  score: number;
  /** Its share among all pictures of the pool, or, in scope `catalog`, among those of this page: it says nothing of whether it is a match. */
  relevance: number;
  /** How well it answers the sentence, whatever `minus` and `unlike` say; at least `fair` where its tags have all the words that say anything. `uncalibrated` where nothing is claimed: the model was never calibrated, or the query has `like` or a picture. */
  match: "strong" | "fair" | "weak" | "none" | "uncalibrated";
  /** Why it is there, near to the query or found by the words of its tags. */
  reasons: ("picture" | "tags")[];
  /** The `image_id` of others that look the same, the best first. */
  similar: string[];
}

export interface Credit {
  /** Who made it. */
  user: string;
  /** Where it is from. */
  source: string;
  /** Under which it may be used, as `CC BY-SA 4.0`; empty where its source names none of each picture. */
  licence: string;
  /** Where the licence is written; empty where that is not known. */
  licence_url: string;
}

export interface Own {
  /** The path of its file, or of the first of several that are the same, within its collection. */
  file: string;
  /** What somebody called it; empty where nobody did. */
  title: string;
  /** Those that it is in. */
  collections: string[];
  /** Those that it is in. */
  albums: string[];
  /** What it was taken with; empty where that is not known. */
  camera: string;
  /** 1 to 5 stars, -1 where it was rejected, null where nobody judged it. */
  rating: number | null;
  /** Where it was taken; null where that is not known, or not kept. */
  place: Place | null;
}

export interface Place {
  /** In degrees. */
  latitude: number;
  /** In degrees. */
  longitude: number;
}

export interface Collections {
  collections: Collection[];
}

export interface Collection {
  /** As the filter `collection` has it. */
  name: string;
  /** Its files that are pictures, copies counted each. */
  pictures: number;
  /** The different ones among them; of a bucket, all. */
  images: number;
  /** Files that could not be read. */
  problems: number;
  /** Whether it is being brought up to date with its folder or bucket. */
  updating: boolean;
}

export interface Timings {
  total_seconds: number;
  /** Of the sentence. */
  encode_seconds: number;
  /** Of all pictures. */
  score_seconds: number;
}

export interface Fetching {
  status: "fetching";
  /** Those whose pictures were searched: the one that was given, or those taken from the sentence, the broader one last, where the first has few pictures. None in scope `catalog`. */
  keywords: string[];
  pool: Pool;
}

export interface Pool {
  pool_id: string;
  /** In the spelling that all its spellings have in common. */
  keyword: string;
  /** A `stale` one is fetched anew at its next search. */
  state: "requested" | "fetching" | "embedding" | "ready" | "failed" | "stale";
  /** How often it was fetched. */
  generation: number;
  /** Pictures listed by the source. */
  images: number;
  /** Those that can be searched. */
  embedded: number;
  /** Those that cannot be used. */
  rejected: number;
  age_seconds: number;
  /** Why it failed, or what is being tried again. */
  reason: string | null;
}

export interface PoolWithRejections {
  pool_id: string;
  /** In the spelling that all its spellings have in common. */
  keyword: string;
  /** A `stale` one is fetched anew at its next search. */
  state: "requested" | "fetching" | "embedding" | "ready" | "failed" | "stale";
  /** How often it was fetched. */
  generation: number;
  /** Pictures listed by the source. */
  images: number;
  /** Those that can be searched. */
  embedded: number;
  /** Those that cannot be used. */
  rejected: number;
  age_seconds: number;
  /** Why it failed, or what is being tried again. */
  reason: string | null;
  /** Why each was rejected, by image_id. */
  rejections: Record<string, string>;
}

export interface Error {
  error: { code: "invalid_request" | "malformed_message" | "unauthorized" | "not_found" | "rejected_image" | "source_refused" | "overloaded" | "unavailable" | "deadline_exceeded" | "internal" | "method_not_allowed" | "too_slow" | "too_large" | "unknown_host" | "http_error"; /** For a person. */ message: string; /** The parameter that is at fault. */ field?: string; };
}
