import type { NextConfig } from "next";

const config: NextConfig = {
  // Plain files: any web server can serve the page, and no Node process runs in production.
  output: "export",
  reactStrictMode: true,
  poweredByHeader: false,
  turbopack: { root: import.meta.dirname },
};

export default config;
