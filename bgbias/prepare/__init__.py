"""Making dataset folders: `build` from photographs and masks, `fetch` of released archives."""
