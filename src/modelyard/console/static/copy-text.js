// <copy-text for="ID">: a button that copies a text. Without a clipboard it selects it; without scripts there is no button.
class CopyText extends HTMLElement {
  connectedCallback() {
    if (this.firstElementChild) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", () => this.copy(button));
    this.append(button);
  }

  async copy(button) {
    const text = document.getElementById(this.getAttribute("for"));
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
  }
}

customElements.define("copy-text", CopyText);
