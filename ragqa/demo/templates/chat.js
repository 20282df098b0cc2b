// Scrolls a new question to the top. Gradio runs this on `change`, before the question is drawn.
() => requestAnimationFrame(() => {
  const chat = document.querySelector("#ragqa-chat");
  const asked = chat.querySelectorAll(".user-row");
  const last = asked[asked.length - 1];
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  // below a short reply, space lets its question reach the top; not in one column, where the panel follows
  const beside = asked.length > 1 && matchMedia("(min-width: 64.01rem)").matches;
  const above = last ? last.getBoundingClientRect().top - chat.getBoundingClientRect().top : 0;
  const ask = document.querySelector("#ragqa-ask").offsetHeight;
  chat.style.minHeight = last && beside ? `${above + innerHeight - ask - 16}px` : "";
  if (asked.length > (window.ragqaAsked ?? 0)) last.scrollIntoView({block: "start", behavior});
  window.ragqaAsked = asked.length;
})
