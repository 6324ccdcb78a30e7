/**
 * A search as a value, and as the address holds it.
 *
 * {t, s_query, scope, k: texts or undefined; minus, like: lists of texts; filters: {name: text}}.
 */

import { quoted } from "./words.js";

export const FILTERS = ["orientation", "colour", "tag", "user", "source", "year", "month"];
export const PAGE = 24; // pictures at a time: rows of 2, 3, 4 and 6 are full
const MOST = 200; // that the API gives at once
const TEXTS = ["t", "s_query", "scope", "k", "fold"];
const LISTS = ["minus", "like"];

const texts = (values) => values.map((value) => value.trim()).filter(Boolean);

/** The search that *params* say; it may lack what it needs to be asked. */
export function searchOf(params) {
  const search = { filters: {} };
  for (const name of TEXTS) search[name] = params.get(name)?.trim() || undefined;
  for (const name of LISTS) search[name] = texts(params.getAll(name));
  for (const name of FILTERS) if (params.get(name)?.trim()) search.filters[name] = params.get(name).trim();
  if (search.scope === "catalog") search.t = undefined;
  else search.scope = undefined;
  return search;
}

export const addressSearch = () => searchOf(new URLSearchParams(location.search));

/** True when there is something to compare pictures with. */
export const canBeAsked = (search) => Boolean(search.s_query || search.like.length);

export function paramsOf(search) {
  const params = new URLSearchParams();
  for (const name of TEXTS) if (search[name] !== undefined) params.set(name, search[name]);
  for (const name of LISTS) for (const value of search[name]) params.append(name, value);
  for (const [name, value] of Object.entries(search.filters)) params.set(name, value);
  return params;
}

export const addressOf = (search) => `?${paramsOf(search)}`;

/** How many pictures are asked for at once, as the API is to judge it. */
export const pageSize = (search) => search.k ?? String(PAGE);

/** The same search for at least *count* pictures. */
export function atLeast(count, search) {
  return count > Number(pageSize(search)) ? { ...search, k: String(Math.min(MOST, count)) } : search;
}

/** The same search for more pictures, or null when there are none; *answer* is what it got so far. */
export function withMore(search, answer) {
  const shown = answer.results.length;
  const left = (answer.matching ?? answer.pool?.embedded ?? MOST) - shown;
  if (shown < Number(pageSize(search)) || left <= 0 || shown >= MOST) return null;
  return { ...search, k: String(Math.min(MOST, shown + PAGE)) };
}

/** Where a search looks, in words. */
export function placeOf(search) {
  if (search.scope) return "everything stored so far";
  return search.t ? quoted(search.t) : "your words";
}

/** What a search asks for, in words. */
export const nameOf = (search) => quoted(search.s_query);
