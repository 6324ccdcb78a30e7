/** What the page says: texts made of numbers and names; of what went wrong, failures.js. */

const WRITTEN_FROM_THE_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const FIRST_STRONG_ISOLATE = "\u2068";
const POP_ISOLATE = "\u2069";

/** *text* so that its direction does not turn the words around it: `bdi`, where there is no markup. */
const isolated = (text) => (WRITTEN_FROM_THE_RIGHT.test(text) ? FIRST_STRONG_ISOLATE + text + POP_ISOLATE : text);

export const quoted = (text) => `“${isolated(text)}”`;
export const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`).replace(/^\S/, (first) => first.toUpperCase());
/** 12345 as "12,345". Intl would do it, too, after 30 ms of loading its tables: a tenth of a first visit. */
export const number = (count) => String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
export const pictures = (count) => `${number(count)} ${count === 1 ? "picture" : "pictures"}`;

/** What a hit's `match` is called; of a model without thresholds nothing is claimed. */
export const MATCHES = { strong: "Strong match", fair: "Fair match", weak: "Weak match", none: "No match" };

/** What a picture is called that has no other description: its tags, an own one's title or file. */
export function altOf({ tags, own }, undescribed = "Picture without a description") {
  return [own?.title, tags?.join(", "), own && fileOf(own)].find(Boolean) ?? undescribed;
}

export const fileOf = ({ file }) => file.split("/").pop();

/** Whose picture it is, as its source asks; of an own one what it is called, and in which album it is. */
export function creditOf({ credit, own }) {
  const texts = own ? [own.title || fileOf(own), own.albums[0]] : [credit?.user, credit?.source];
  return texts.filter(Boolean).join(" · ") || "Where it is from";
}
