// Draws formulas, which are <code> with TeX in the chat's messages and in passages, with Gradio's KaTeX. Code that KaTeX cannot
// read stays as it is.
const {default: katex} = await import(new URL("KATEX", document.baseURI));
const CODE = ":is(#ragqa-chat .message, .ragqa) code:not(.seen)";
const draw = code => {
  code.classList.add("seen");
  const tex = code.textContent;
  // names of more than two letters are upright; `ragqa.text.tex` has removed the fonts
  const upright = tex.replace(/\\[a-zA-Z]+|[_^][a-zA-Z]|([a-zA-Z]{3,})/g, (all, name) => name ? `\\mathrm{${name}}` : all)
    .replace(/\\(begin|end)\{\\mathrm\{(\w+)\}\}/g, "\\$1{$2}").replace(/</g, "\\lt ").replace(/>/g, "\\gt ");
  const room = document.createElement("span");
  try {
    katex.render(upright, room, {throwOnError: true, strict: "ignore", trust: false, maxSize: 5, maxExpand: 100});
  } catch {
    return;
  }
  code.replaceChildren(room);
  code.classList.add("formula");
  code.title = tex;
};
const drawAll = () => document.querySelectorAll(CODE).forEach(draw);
new MutationObserver(drawAll).observe(document.body, {childList: true, subtree: true});
drawAll();
