/** Which system the messages speak to. */
export type System = { platform: NodeJS.Platform; isRoot: boolean; isDebian: boolean; user: string }

/** No engine answers, and none can be started from here. */
export function noEngine({ platform, isRoot, isDebian }: System): string {
  if (platform === 'darwin') {
    return `No Docker engine answers. Start Docker Desktop, OrbStack or Podman, or install Colima:
  brew install colima docker && colima start
and run this again.`
  }
  if (isRoot) {
    return `No Docker engine answers, and only on Debian and Ubuntu can one be installed for you. Install it
(https://docs.docker.com/engine/install), start it (systemctl start docker), and run this again.`
  }
  return isDebian
    ? `No Docker engine answers, and installing one needs root. Either
  sudo npm run up
or install it yourself and run this again:
  sudo apt-get install -y docker.io && sudo usermod -aG docker $USER && newgrp docker`
    : `No Docker engine answers. Install it (https://docs.docker.com/engine/install), start it
(sudo systemctl start docker), add yourself to its group (sudo usermod -aG docker $USER && newgrp docker), and run this again.`
}

export const forbidden = (address: string, { user }: System): string =>
  `The Docker engine at ${address} refuses the user ${user} (permission denied). Add yourself to its group
  sudo usermod -aG docker ${user} && newgrp docker
and run this again, or run it as root.`

export const silent = (address: string, from: string): string =>
  `Nothing answers at ${address}, which ${from} names. Start that Docker engine, or unset it to use another, and run this again.`

export const unwell = (address: string, reason: string): string =>
  `The Docker engine at ${address} is there but does not work: ${reason}. Restart it and run this again.`

export const daemonFailed = (log: string, tail: string): string =>
  `The Docker engine does not start. It says (${log}):\n\n${tail}\n\nA container without --privileged cannot run one: mount the
host's /var/run/docker.sock into it instead.`

export const installFailed = (command: string, tail: string): string =>
  `Installing Docker failed. The end of \`${command}\`:\n\n${tail}\n\nInstall docker.io by hand and run this again.`

export const diskFull = (place: string, what: string, freeGb: number, neededGb: number): string =>
  `Only ${freeGb.toFixed(1)} GB are free at ${place} (${what}); the browser image and its containers need ${neededGb} GB.
Make room (docker system df shows what Docker holds) and run this again.`
