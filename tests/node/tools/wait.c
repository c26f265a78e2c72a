// What the containers of the tests run, also as the pause container: waits until it is told to end. With a port as its
// argument it answers every HTTP request there.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

static void reap(int signal) {
  (void)signal;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

int main(int argc, char **argv) {
  // As process 1 it would not be ended by a signal that it does not handle.
  signal(SIGTERM, end);
  signal(SIGINT, end);
  signal(SIGCHLD, reap);
  signal(SIGPIPE, SIG_IGN);
  if (argc < 2) {
    for (;;) pause();
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
  int listening = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 16)) return 1;
  static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
  for (;;) {
    int connection = accept(listening, NULL, NULL);
    char request[4096];
    if (connection < 0) continue;
    if (read(connection, request, sizeof request) > 0) (void)!write(connection, answer, strlen(answer));
    close(connection);
  }
}
