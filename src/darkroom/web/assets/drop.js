// A place to drop, paste or choose a picture; it is sent to this server and nowhere else.
const LARGEST = 32 * 1024 * 1024;
export default {
  props: { label: String, hint: String, texts: Boolean },
  emits: ["given", "text", "refused"],
  template: `
    <div class="drop" :class="{over, busy}" @dragover.prevent="over = true" @dragleave="over = false" @drop.prevent="dropped">
      <input ref="file" type="file" :accept="texts ? 'image/png,image/jpeg,image/webp,application/json,.json' : 'image/png,image/jpeg,image/webp'" @change="picked" tabindex="-1" aria-hidden="true" />
      <button type="button" class="drop-press" @click="$refs.file.click()">
        <svg class="sign" viewBox="0 0 24 24" aria-hidden="true"><path d="M12 16V5M7 9l5-5 5 5M4 20h16"/></svg>
        <b>{{ busy ? 'Reading' : label }}</b><span>{{ hint }}</span>
      </button>
    </div>`,
  data() { return { over: false, busy: false }; },
  mounted() {
    this.paste = (event) => {
      const seen = this.$el.offsetParent !== null, file = [...(event.clipboardData?.files || [])][0];
      if (seen && file) { event.preventDefault(); this.take(file); }
    };
    addEventListener("paste", this.paste);
  },
  unmounted() { removeEventListener("paste", this.paste); },
  methods: {
    dropped(event) { this.over = false; this.take(event.dataTransfer.files[0]); },
    picked(event) { this.take(event.target.files[0]); event.target.value = ""; },
    async take(file) {
      if (!file) return;
      if (file.size > LARGEST) return this.$emit("refused", "That file has more than 32 MB; make it smaller first.");
      if (this.texts && (file.type === "application/json" || file.name.endsWith(".json"))) {
        if (file.size > 900000) return this.$emit("refused", "That file has more than 900 kB; expected prompts or a workflow.");
        return this.$emit("text", { text: await file.text(), title: file.name });
      }
      this.busy = true;
      try {
        const answer = await fetch(`${window.path_prefix || ""}/studio/given`, { method: "POST", body: file, headers: { "X-Darkroom": "1", "Content-Type": "application/octet-stream" } });
        const told = await answer.json();
        if (answer.ok) this.$emit("given", { ...told, title: file.name });
        else this.$emit("refused", told.error || "The server did not take that picture.");
      } catch { this.$emit("refused", "The server does not answer; try again in a moment."); }
      this.busy = false;
    },
  },
};
