// <log-tail>: the lines of a job. Follows its end while the reader is there, and stays where they scrolled to otherwise.
class LogTail extends HTMLElement {
  connectedCallback() {
    this.follow = true;
    this.scrollTop = this.scrollHeight;
    this.addEventListener("scroll", () => {
      this.follow = this.scrollHeight - this.scrollTop - this.clientHeight < 24;
    });
    this.observer = new MutationObserver(() => {
      if (this.follow) this.scrollTop = this.scrollHeight;
    });
    this.observer.observe(this, { childList: true, subtree: true });
  }

  disconnectedCallback() {
    this.observer.disconnect();
  }
}

customElements.define("log-tail", LogTail);
