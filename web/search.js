/**
 * A search as a value, and as the address holds it.
 *
 * {t, s_query, scope, k, fold, picture: texts or undefined; minus, like: lists of texts;
 * filters: {name: text}}. `picture` names one of pictures.js: no address can hold the picture itself.
 */

import { quoted } from "./words.js";

const OF_A_COLLECTION = ["folder", "album"];
export const OF_OWN = ["collection", ...OF_A_COLLECTION, "camera"]; // filters that own pictures alone pass
export const FILTERS = [...OF_OWN, "year", "month", "orientation", "colour", "tag", "user", "source"]; // as they are offered
const PAGE = 24; // pictures at a time: rows of 2, 3, 4 and 6 are full
export const MOST = 200; // that the API gives at once
const TEXTS = ["t", "s_query", "scope", "k", "fold", "picture"];
const LISTS = ["minus", "like"];

const texts = (values) => values.map((value) => value.trim()).filter(Boolean);

/** The search that *params* say; it may lack what it needs to be asked. */
export function searchOf(params) {
  const search = { filters: {} };
  for (const name of TEXTS) search[name] = params.get(name)?.trim() || undefined;
  for (const name of LISTS) search[name] = texts(params.getAll(name));
  for (const name of FILTERS) if (params.get(name)?.trim()) search.filters[name] = params.get(name).trim();
  return inItsPlace(search);
}

/** *search* where it can look: own pictures are of no keyword, and without words there is none to take from them. */
export function inItsPlace(search) {
  const hasKeyword = search.t || search.s_query;
  const isEverywhere = search.scope === "catalog" || OF_OWN.some((name) => search.filters[name]) || !hasKeyword && hasPicture(search);
  return { ...search, scope: isEverywhere ? "catalog" : undefined, t: isEverywhere ? undefined : search.t };
}

const hasPicture = (search) => search.like.length > 0 || Boolean(search.picture);

/** *filters* with *value* for the one of that name, or without it; folders and albums go with their collection. */
export function withFilter(filters, name, value) {
  if ((filters[name] ?? "") === (value ?? "")) return filters;
  const gone = name === "collection" ? [name, ...OF_A_COLLECTION] : [name];
  const others = Object.fromEntries(Object.entries(filters).filter(([other]) => !gone.includes(other)));
  return value ? { ...others, [name]: value } : others;
}

/** *search* without what its address says beside the form: a filter, how many pictures or whether they are folded. */
export const without = (search, name) => ({ ...search, [name]: undefined, filters: withFilter(search.filters, name) });

/** True of what `without` can take off. */
export const canBeTakenOff = (name) => [...FILTERS, "k", "fold"].includes(name);

/** *filters* without those that only own pictures pass. */
export const ofAnybody = (filters) => Object.fromEntries(Object.entries(filters).filter(([name]) => !OF_OWN.includes(name)));

/** What is like the stored picture *imageId*, in *collection* where there is one. */
export const moreLike = (imageId, collection) => searchIn(collection, { like: imageId });

/** The search that *parts* say, in *collection* where there is one. */
export const searchIn = (collection, parts) => searchOf(new URLSearchParams(collection ? { ...parts, collection } : parts));

export const addressSearch = () => searchOf(new URLSearchParams(location.search));

/** True when there is something to compare pictures with. */
export const canBeAsked = (search) => Boolean(search.s_query) || hasPicture(search);

export function paramsOf(search) {
  const params = new URLSearchParams();
  for (const name of TEXTS) if (search[name] !== undefined) params.set(name, search[name]);
  for (const name of LISTS) for (const value of search[name]) params.append(name, value);
  for (const [name, value] of Object.entries(search.filters)) params.set(name, value);
  return params;
}

export const addressOf = (search) => `?${paramsOf(search)}`;

/** What the API is asked of *search*, by its names; the picture is in the page's storage. */
export function questionOf(search) {
  const { filters, picture: _, ...rest } = search;
  return { ...rest, ...filters, k: pageSize(search) };
}

/** How many pictures are asked for at once, as the API is to judge it. */
const pageSize = (search) => search.k ?? String(PAGE);

/** The same search for at least *count* pictures. */
export function atLeast(count, search) {
  return count > Number(pageSize(search)) ? { ...search, k: String(Math.min(MOST, count)) } : search;
}

/** Where a search looks, in words, "" while unknown; *keywords* are those that the server took from its sentence. */
export function placeOf(search, keywords = []) {
  if (search.filters.collection) return `your ${quoted(search.filters.collection)}`;
  if (search.scope) return "everything stored so far";
  const given = search.t ? [search.t] : keywords;
  return given.map(quoted).join(" and ");
}

/** What a search asks for, in words. */
export function nameOf(search) {
  const pictures = [search.like.length && "like this picture", search.picture && "like your picture"];
  const asked = [search.s_query && quoted(search.s_query), ...pictures].filter(Boolean).join(" and ");
  const without = search.minus.map(quoted).join(" or ");
  const name = without ? `${asked} without ${without}` : asked;
  return name.replace(/^like/, "Like");
}
