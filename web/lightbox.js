/** One picture, large: what is known of it and what can be done with it. */

import { apiBase } from "./api.js";
import { cardOf, licenceOf, pictureOf, showMatch, shownHits } from "./cards.js";
import { announce, build, element, outside, safeUrl } from "./dom.js";
import { dateOf } from "./filters.js";
import { addressOf, addressSearch, moreLike } from "./search.js";
import { altOf, fileOf, number } from "./words.js";

const dialog = element("lightbox");
let shownId = null;

const indexOf = (imageId) => shownHits().findIndex((hit) => hit.image_id === imageId);
const addressWith = (imageId) => `${location.pathname}${location.search}#${encodeURIComponent(imageId)}`;

/** The image id after the `#`; anybody can write what is none, and that names no picture. */
function namedByAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return null;
  }
}

/** Open the picture that the address names, or close the lightbox when it names none that is here. */
export function followAddress() {
  const hit = shownHits()[indexOf(namedByAddress())];
  if (hit) show(hit);
  else if (dialog.open) dialog.close();
}

function open(imageId) {
  history.pushState({ ...history.state, isOverPictures: true }, "", addressWith(imageId));
  followAddress();
}

/** Close it: the way back leads to the pictures, however one came. */
function leave() {
  if (history.state?.isOverPictures) history.back();
  else history.replaceState(history.state, "", location.pathname + location.search);
  dialog.close();
}

function step(by) {
  const hit = shownHits()[indexOf(shownId) + by];
  if (!hit) return;
  history.replaceState(history.state, "", addressWith(hit.image_id));
  show(hit);
  announce(altOf(hit));
}

function show(hit) {
  shownId = hit.image_id;
  const index = indexOf(shownId);
  element("lightbox-title").textContent = `Picture ${number(index + 1)} of ${number(shownHits().length)}`;
  element("lightbox-picture").replaceChildren(pictureOf(hit));
  showMatch(element("lightbox-match"), hit);
  element("lightbox-facts").replaceChildren(...factsOf(hit));
  element("lightbox-actions").replaceChildren(...actionsOf(hit));
  element("lightbox-before").disabled = index === 0;
  element("lightbox-after").disabled = index === shownHits().length - 1;
  if (dialog.open) return;
  dialog.showModal();
  element("lightbox-title").focus();
}

// ---------------------------------------------------------------- what is known

function factsOf(hit) {
  const { credit, width, height, tags, reasons, own } = hit;
  const facts = own ? ownFactsOf(hit) : { "Picture by": credit?.user, Source: credit?.source };
  Object.assign(facts, { Licence: licenceOf(hit), Shows: tags?.join(", ") });
  if (width > 0 && height > 0) facts.Size = `${number(width)} × ${number(height)} pixels`;
  if (reasons?.includes("tags")) facts["Found by"] = reasonsOf(reasons);
  return Object.entries(facts).filter(([, text]) => text).map(([name, text]) => fact(name, text));
}

function ownFactsOf({ own, credit, year, month }) {
  const { title, file, collections, albums, camera, rating, place } = own;
  return {
    Title: title, File: fileOf(own), Folder: file.split("/").slice(0, -1).join("/"), Collection: collections.join(", "),
    Album: albums.join(", "), Taken: dateOf({ year, month }), Camera: camera, "Picture by": credit?.user,
    Rating: ratingOf(rating), Place: place && mapLink(place),
  };
}

/** Where a picture was taken, as a link to a map: that is asked for when somebody follows it, and not before. */
function mapLink({ latitude, longitude }) {
  const half = (degrees, [positive, negative]) => `${Math.abs(degrees).toFixed(4)}° ${degrees < 0 ? negative : positive}`;
  const url = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=14/${latitude}/${longitude}`;
  return outside(url, {}, `${half(latitude, "NS")}, ${half(longitude, "EW")}`);
}

function fact(name, text) {
  return build("div", {}, build("dt", { textContent: name }), build("dd", { dir: "auto" }, text));
}

// ---------------------------------------------------------------- what can be done

function actionsOf(hit) {
  const [page, url] = [hit.page_url, hit.url].map((address) => safeUrl(address, apiBase()));
  return [
    page && outside(page, { className: "primary" }, "Original"),
    url && button("Download", () => (hit.own && page ? download(page, fileOf(hit.own)) : download(url, url.split("/").pop()))),
    build("a", { href: addressOf(moreLike(hit.image_id, addressSearch().filters.collection)), className: "quiet inside", textContent: "More like this" }),
    button("Copy link", () => copyLink(hit)),
  ].filter(Boolean);
}

function button(text, onclick) {
  return build("button", { type: "button", className: "quiet", textContent: text, onclick });
}

/** Save the file at *url* as *name*. A link's `download` works within one origin only, so it is fetched. */
async function download(url, name) {
  try {
    // Not as it is kept from the <img>: for that a bucket sends no word that this page may read it.
    const response = await fetch(url, { cache: "reload" });
    if (!response.ok) throw new Error(response.statusText);
    const local = URL.createObjectURL(await response.blob());
    build("a", { href: local, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(local), 60_000); // when the browser has surely read it
    announce("The picture was saved.");
  } catch {
    window.open(url, "_blank", "noopener");
  }
}

async function copyLink(hit) {
  const link = new URL(`${addressOf(addressSearch())}#${encodeURIComponent(hit.image_id)}`, location.href).href;
  try {
    await navigator.clipboard.writeText(link);
    say("The link was copied.");
  } catch { // no permission, or no https
    say(link);
  }
}

/** Say *text* where the person looks, which a live region behind the dialog is not. */
function say(text) {
  const words = build("span", { className: "said", role: "status", textContent: text });
  element("lightbox-actions").querySelector(".said")?.remove();
  element("lightbox-actions").append(words);
}

export function listenToLightbox() {
  element("cards").addEventListener("click", (event) => {
    const card = event.target.closest(".open") && event.target.closest(".card");
    if (card) open(card.dataset.image);
  });
  element("lightbox-before").addEventListener("click", () => step(-1));
  element("lightbox-after").addEventListener("click", () => step(1));
  element("lightbox-close").addEventListener("click", leave);
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); leave(); });
  dialog.addEventListener("click", (event) => event.target === dialog && leave());
  dialog.addEventListener("close", () => cardOf(shownId)?.querySelector(".open").focus());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
}

/** How many stars somebody gave a picture; "" where nobody did. */
function ratingOf(rating) {
  if (!rating) return "";
  return rating < 0 ? "Rejected" : `${rating} of 5 stars`;
}

/** Why a hit is there, in a search that looks at tags, too. */
const REASONS = { picture: "what it looks like", tags: "its tags" };

const reasonsOf = (reasons) => reasons.map((reason) => REASONS[reason] ?? reason).join(" and ");
