// Gradio runs this when the panel is there: `element` is the panel's, `server` and `trigger` call Python.
// References in the chat lead to the panel's cards. Details are fetched when they are opened; Escape closes them.

let wanted = null;
const point = rank => {
  const card = element.querySelector(`[data-rank="${rank}"]`);
  element.querySelectorAll(".pointed").forEach(other => other.classList.remove("pointed"));
  card?.classList.add("pointed");
  card?.focus({preventScroll: true});
  card?.scrollIntoView({block: "nearest"});
};
document.addEventListener("click", event => {
  const reference = event.target.closest?.("#ragqa-chat a")?.getAttribute("href")?.match(/#turn-(\d+)-(\d+)$/);
  if (!reference) return;
  event.preventDefault();
  const [, turn, rank] = reference;
  if (element.querySelector("[data-turn]")?.dataset.turn === turn) return point(rank);
  wanted = rank;
  trigger('show', {turn: Number(turn)});
}, true);
watch("value", () => { if (wanted) point(wanted); wanted = null; });
element.addEventListener("toggle", async event => {
  const part = event.target, room = part.querySelector("div");
  if (!part.open || room.textContent) return;
  const {corpus, question} = part.closest("[data-turn]").dataset, {passage} = part.closest(".card").dataset;
  room.textContent = "…";
  room.innerHTML = await server.show_details({part: part.dataset.part, corpus, question, passage})
    .catch(() => "This could not be fetched.");
}, true);
element.addEventListener("keydown", event => {
  const part = event.key === "Escape" && event.target.closest("details[open]");
  if (!part) return;
  event.stopPropagation();
  part.open = false;
  part.querySelector("summary").focus();
});
document.addEventListener("keydown", event => {
  const toggle = event.key === "Escape" && document.querySelector("#ragqa-sidebar.open .toggle-button");
  if (!toggle) return;
  toggle.click();
  toggle.focus();
});
