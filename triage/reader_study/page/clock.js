// How long a reader looks at a case. Time in which nothing was touched for longer than `idleMs`, or in which the page was
// hidden, is not reading: of such a pause only the first `idleMs` count.

export class Clock {
  #idleMs;
  #now;
  #running = false;
  #hidden = false;
  #last = 0;
  #active = 0;
  #elapsed = 0;

  constructor(idleMs, now = () => performance.now()) {
    this.#idleMs = idleMs;
    this.#now = now;
  }

  /** Count from now on. */
  start() {
    this.#settle();
    this.#running = true;
  }

  /** Count no longer: a pause that the reader asked for, or no case on the screen. */
  stop() {
    this.#settle();
    this.#running = false;
  }

  /** The reader did something. */
  touch() {
    this.#settle();
  }

  /** The page is seen, or not. */
  show(visible) {
    this.#settle();
    this.#hidden = !visible;
  }

  /** Whether the pause since the last input no longer counts. */
  get idle() {
    return this.#running && (this.#hidden || this.#now() - this.#last > this.#idleMs);
  }

  /** Milliseconds since the last `drop`, as the server wants them. */
  peek() {
    const { active, elapsed } = this.#counted();
    return { active_ms: Math.round(active), elapsed_ms: Math.round(elapsed) };
  }

  /** Begin again at nothing; what was counted is saved, or of no interest. */
  drop() {
    this.#settle();
    this.#active = 0;
    this.#elapsed = 0;
  }

  #settle() {
    const { active, elapsed } = this.#counted();
    this.#active = active;
    this.#elapsed = elapsed;
    this.#last = this.#now();
  }

  #counted() {
    const gap = this.#running ? this.#now() - this.#last : 0;
    const reading = this.#hidden ? 0 : Math.min(gap, this.#idleMs);
    return { active: this.#active + reading, elapsed: this.#elapsed + gap };
  }
}
