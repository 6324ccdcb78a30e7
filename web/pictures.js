/** Pictures to search by: chosen, dropped or pasted. They stay in this window, by a name of ours. */

const MOST_PIXELS = 1600; // of a side: the models see fewer, and a phone's own picture takes long to send
const MOST_BYTES = 2_000_000;
const TYPES = new Set(["image/jpeg", "image/png", "image/webp"]); // that the server reads

const pictures = new Map(); // name -> {blob, url}

export const pictureNamed = (name) => pictures.get(name);

/** Keep the picture of *file* and return its name, or null when the browser cannot read it. */
export async function keepPicture(file) {
  const blob = await readable(file);
  if (!blob) return null;
  const name = Date.now().toString(36); // of no other picture, of this visit or an earlier one
  pictures.set(name, { blob, url: URL.createObjectURL(blob) });
  return name;
}

/** *file* as the server reads it: of another type, or too large, it is drawn anew. */
async function readable(file) {
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, MOST_PIXELS / Math.max(bitmap.width, bitmap.height));
    if (TYPES.has(file.type) && scale === 1 && file.size <= MOST_BYTES) return file;
    return await drawn(bitmap, scale);
  } catch {
    return null;
  }
}

function drawn(bitmap, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // behind what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}

/** Have *take* given each picture file that is chosen with *input*, pasted or dropped on the page. */
export function listenForPictures(input, take) {
  const takeFrom = (files) => {
    const file = [...files].find(({ type }) => type.startsWith("image/"));
    if (file) take(file);
    return Boolean(file);
  };
  input.addEventListener("change", () => { takeFrom(input.files); input.value = ""; });
  addEventListener("paste", (event) => takeFrom(event.clipboardData?.files ?? []) && event.preventDefault());
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // else the browser leaves the page for the file
    takeFrom(event.dataTransfer.files);
  });
}
