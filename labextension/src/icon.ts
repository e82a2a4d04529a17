import { LabIcon } from '@jupyterlab/ui-components';

/** Filled with the theme's colour for icons. */
export const gorillaIcon = new LabIcon({
  name: 'gorilla-jupyter:gorilla',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 64 64">
  <path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="M32 4C20 4 14 14 13 26a6 6 0 0 0-1
  12v5c0 10 9 17 20 17s20-7 20-17v-5a6 6 0 0 0-1-12C50 14 44 4 32 4zm0 23c5-5 15-3 15 4 0 3-2 5-3 7
  3 2 4 4 4 7 0 6-7 10-16 10s-16-4-16-10c0-3 1-5 4-7-1-2-3-4-3-7 0-7 10-9 15-4zm-6 3a3 3 0 1 0 0 6
  3 3 0 0 0 0-6zm12 0a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM23 46c6 3 12 3 18 0l-1-2c-5 2-11 2-16 0z"/>
</svg>`
});
