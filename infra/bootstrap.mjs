// The door of every `npm run` script: `node infra/bootstrap.mjs <script.ts> [arguments]`.
// Nothing here may need a recent Node, or a machine with an old one sees a syntax error instead of this message.
var major = Number(process.versions.node.split('.')[0])

if (process.platform === 'win32') {
  console.error(
    'Porthole runs on Linux and macOS. On Windows, run it inside WSL 2: https://learn.microsoft.com/windows/wsl',
  )
  process.exit(1)
} else if (major < 18) {
  console.error(
    'Porthole needs Node 18 or later to start (it brings its own Node 24 then); this is ' +
      process.version +
      '. Install a newer one: https://nodejs.org',
  )
  process.exit(1)
} else {
  import('./dev/launch.mjs')
    .then(launch => launch.main(process.argv.slice(2)))
    .catch(error => {
      console.error(error.explained ? error.message : error)
      process.exit(1)
    })
}
