// A labelled control: "text", "area", "number", "range", "choice", "switch" or "search".
export default {
  props: {
    kind: String, label: String, modelValue: null, options: Array, min: Number, max: Number, step: Number,
    placeholder: String, rows: Number, hint: String, wait: Number, turn: Number,
  },
  emits: ["update:modelValue", "enter"],
  template: `
    <label v-if="kind === 'switch'" class="switch">
      <input type="checkbox" role="switch" :checked="inner" @change="send($event.target.checked)" />
      <span>{{ label }}</span>
    </label>
    <div v-else class="field">
      <label v-if="label && kind !== 'range'" class="name" :for="own">{{ label }}</label>
      <div v-if="kind === 'range'" class="name">
        <label :for="own">{{ label }}</label>
        <input type="number" :value="draft ?? inner" @input="draft = $event.target.value" :min="min" :max="max" :step="step" placeholder="auto" :aria-label="label + ', as a number'"
          @change="send(bounded($event.target.value))" />
      </div>
      <textarea v-if="kind === 'area'" ref="box" :id="own" :value="inner" :rows="rows || 1" :placeholder="placeholder" :aria-label="label || placeholder"
        spellcheck="false" @input="type" @blur="flush" @keydown.enter.ctrl.prevent="enter" @keydown.enter.meta.prevent="enter"></textarea>
      <input v-else-if="kind === 'range'" type="range" :id="own" :value="inner" :min="min" :max="max" :step="step"
        :style="{'--part': 100 * (inner - min) / (max - min) + '%'}" @input="send(Number($event.target.value))" />
      <select v-else-if="kind === 'choice'" :id="own" :value="inner" :aria-label="label || placeholder" @change="send($event.target.value)">
        <option v-for="one in options" :key="one.value" :value="one.value">{{ one.label }}</option>
      </select>
      <input v-else-if="kind === 'number'" type="number" :id="own" :value="draft ?? inner" @input="draft = $event.target.value" :min="min" :max="max" :step="step" :placeholder="placeholder"
        :aria-label="label || placeholder" @change="send(bounded($event.target.value))" @keydown.enter="enter" />
      <input v-else :type="kind" :id="own" :value="inner" :placeholder="placeholder" :aria-label="label || placeholder" spellcheck="false" autocomplete="off"
        @input="type" @blur="flush" @keydown.enter="enter" />
      <div v-if="hint" class="hint">{{ hint }}</div>
    </div>`,
  data() {
    return { inner: this.modelValue, own: "f" + Math.random().toString(36).slice(2), timer: null, told: this.modelValue, draft: null }; // a number that is being typed
  },
  watch: {
    turn() { // the server set it; else the person may have typed on
      clearTimeout(this.timer);
      this.told = this.inner = this.modelValue;
      this.draft = null;
      this.$nextTick(this.fit);
    },
  },
  mounted() {
    this.fit();
    this.seen = new ResizeObserver(() => this.fit());
    if (this.$refs.box) this.seen.observe(this.$refs.box.parentElement);
  },
  unmounted() { this.seen?.disconnect(); },
  methods: {
    send(value) {
      this.told = this.inner = value;
      this.draft = null;
      this.$emit("update:modelValue", value);
    },
    type(event) {
      this.inner = event.target.value;
      this.fit();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.send(this.inner), this.wait ?? 120);
    },
    flush() { // before anything else is pressed
      clearTimeout(this.timer);
      if (this.inner !== this.told) this.send(this.inner);
    },
    enter() {
      this.flush();
      this.$emit("enter");
    },
    bounded(text) {
      const value = Number(text);
      if (text === "" || Number.isNaN(value)) return this.inner;
      return Math.min(this.max ?? Infinity, Math.max(this.min ?? -Infinity, value));
    },
    fit() { // as high as its words
      const box = this.$refs.box;
      if (!box) return;
      box.style.height = "auto";
      box.style.height = box.scrollHeight + 2 + "px";
    },
  },
};
