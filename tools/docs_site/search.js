// The search of the documentation: sections that have all words that are typed, those in titles first.

const MOST = 12;
const room = document.getElementById("search");
const site = new URL(room.dataset.site, location.href);
let sections = null; // read when somebody begins to search

const input = document.createElement("input");
Object.assign(input, { type: "search", placeholder: "Search the documentation", autocomplete: "off" });
input.setAttribute("aria-label", "Search the documentation");
const list = document.createElement("ul");
const spoken = document.createElement("p");
spoken.className = "spoken";
spoken.setAttribute("role", "status");
room.append(input, list, spoken);
room.hidden = false;

async function read() {
  const answer = await fetch(new URL("search.json", site));
  if (!answer.ok) throw new Error(`search.json: ${answer.status}`);
  return answer.json();
}

function points(section, words) {
  const [page, title, text] = [section.page, section.title, section.text].map((part) => part.toLowerCase());
  if (!words.every((word) => `${page} ${title} ${text}`.includes(word))) return 0;
  const inTitle = words.filter((word) => title.includes(word)).length;
  const inPage = words.filter((word) => page.includes(word)).length;
  return 1 + 4 * inTitle + 2 * inPage;
}

function around(text, word) {
  const at = Math.max(0, text.toLowerCase().indexOf(word));
  const from = Math.max(0, at - 50);
  return `${from ? "…" : ""}${text.slice(from, from + 160)}${text.length > from + 160 ? "…" : ""}`;
}

function row(section, word) {
  const link = document.createElement("a");
  link.href = new URL(section.address, site);
  const where = section.page === section.title ? section.title : `${section.title} · ${section.page}`;
  const text = document.createElement("span");
  text.textContent = around(section.text, word);
  link.append(where, text);
  const item = document.createElement("li");
  item.append(link);
  return item;
}

async function show() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) {
    list.replaceChildren();
    spoken.textContent = "";
    return;
  }
  try {
    sections ??= read();
    const found = (await sections)
      .map((section) => [points(section, words), section])
      .filter(([count]) => count)
      .sort(([one], [other]) => other - one)
      .slice(0, MOST);
    list.replaceChildren(...found.map(([, section]) => row(section, words[0])));
    spoken.textContent = found.length ? `${found.length} ${found.length === 1 ? "section" : "sections"} found` : "";
    if (!found.length) say("Nothing has all of these words.");
  } catch {
    sections = null; // the next letter tries again
    say("The search cannot be reached for now. Type on to try again.");
  }
}

function say(sentence) {
  const item = document.createElement("li");
  item.textContent = sentence;
  list.replaceChildren(item);
  spoken.textContent = sentence;
}

input.addEventListener("input", show);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && event.target === document.body) {
    event.preventDefault();
    input.focus();
  }
  if (event.key === "Escape" && room.contains(event.target)) {
    list.replaceChildren();
    input.focus();
  }
});
document.addEventListener("click", (event) => {
  if (!room.contains(event.target)) list.replaceChildren();
});
