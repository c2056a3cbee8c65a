#!/bin/sh
# The web server: one site in /var/www/site, with PHP as a module or by FPM,
# and the page that is there until the user puts a site of their own.
# The database stands already (10-database.sh).
set -eu

site=$XLFS_PARAM_SITE_NAME
admin=$XLFS_PARAM_ADMIN_EMAIL
place=/var/www/site
ours=/etc/xlfs-lapp

die() { echo "$*" >&2 && exit 1; }

service() { # NAME ACTION
    if [ -d /run/systemd/system ]; then
        systemctl "$2" "$1"
    elif [ -x "/etc/init.d/$1" ]; then
        "/etc/init.d/$1" "$2"
    else
        "/etc/rc.d/init.d/$1" "$2"
    fi
}

first() { # the first of these files that is there
    for file in "$@"; do
        if [ -e "$file" ]; then echo "$file" && return; fi
    done
    return 1
}

conf=$(first /etc/apache2/apache2.conf /etc/httpd/httpd.conf /etc/httpd/conf/httpd.conf \
    /etc/apache2/httpd.conf /usr/local/apache2/conf/httpd.conf) || die "this image has no Apache httpd"
base=${conf%/*}
for name in www-data apache httpd nobody; do # whom it runs as
    if id -u "$name" >/dev/null 2>&1; then user=$name && break; fi
done
name=$(sed -n 's/^[[:space:]]*User[[:space:]]\{1,\}\([a-z][a-z0-9_-]*\).*/\1/p' "$conf" | tail -n 1)
user=${name:-$user}
group=$(id -gn "$user")

# --- What PHP needs to know ------------------------------------------------------

quoted() { printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g"; } # for PHP's single quotes

mkdir -p "$ours" "$place"
umask 027
cat >"$ours/database.php.new" <<END
<?php
// How the site reaches its database. Made by xlfs.
return [
    'name' => '$(quoted "$XLFS_PARAM_DB_NAME")',
    'user' => '$(quoted "$XLFS_PARAM_DB_USER")',
    'password' => '$(quoted "$XLFS_PARAM_DB_PASSWORD")',
];
END
chgrp "$group" "$ours/database.php.new"
chmod 640 "$ours/database.php.new"
mv -f "$ours/database.php.new" "$ours/database.php"
umask 022

cat >"$ours/connect.php" <<'END'
<?php
// A connection to the site's database, over the server's Unix socket.
function xlfs_database(): PDO
{
    $database = require '/etc/xlfs-lapp/database.php';
    $options = [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_TIMEOUT => 10];
    return new PDO("pgsql:dbname={$database['name']}", $database['user'], $database['password'], $options);
}
END
cat >"$ours/health.php" <<'END'
<?php
// What xlfsd asks for: whether the web server, PHP and PostgreSQL work together.
require '/etc/xlfs-lapp/connect.php';
header('Content-Type: text/plain');
header('Cache-Control: no-store');
try {
    echo 'xlfs-health: ', xlfs_database()->query("SELECT 'ok'")->fetchColumn(), "\n";
} catch (PDOException $exception) {
    error_log($exception->getMessage());
    http_response_code(503);
    echo "xlfs-health: no database\n";
}
END
if ! first "$place"/index.* >/dev/null; then
    cat >"$place/index.php" <<'END'
<?php
// Proves that httpd, PHP and PostgreSQL work together. Replace it by your site.
require '/etc/xlfs-lapp/connect.php';
header('Cache-Control: no-store');
try {
    $database = xlfs_database();
    $database->exec(
        "INSERT INTO xlfs_visits VALUES ('/', 1, now())
         ON CONFLICT (page) DO UPDATE SET visits = xlfs_visits.visits + 1, last = now()"
    );
    $visits = $database->query("SELECT visits FROM xlfs_visits WHERE page = '/'")->fetchColumn();
} catch (PDOException $exception) {
    error_log($exception->getMessage());
    http_response_code(503);
    exit("The database does not answer.\n");
}
?>
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title><?= htmlspecialchars($_SERVER['SERVER_NAME']) ?></title>
<h1><?= htmlspecialchars($_SERVER['SERVER_NAME']) ?></h1>
<p>Apache httpd, PHP and PostgreSQL work together.</p>
<p>visits: <?= (int) $visits ?></p>
</html>
END
fi

# --- The server's configuration ----------------------------------------------------

php_handler() { # for an image whose PHP is not set up in httpd's own files
    if first "$base"/mods-enabled/php*.load >/dev/null; then return; fi
    if grep -rqs '^[[:space:]]*LoadModule php' "$base"; then
        if ! grep -rqs 'x-httpd-php' "$base"; then
            printf '<FilesMatch "\\.php$">\n    SetHandler application/x-httpd-php\n</FilesMatch>\n'
        fi
        return
    fi
    socket=$(first /run/php/php*-fpm.sock /run/php-fpm/*.sock /run/php-fpm.sock) ||
        die "this image has neither PHP's module for httpd nor PHP-FPM"
    for module in proxy proxy_fcgi; do
        if [ -e "$base/mods-available/$module.load" ]; then
            ln -sf "../mods-available/$module.load" "$base/mods-enabled/$module.load"
        fi
    done
    printf '<FilesMatch "\\.php$">\n    SetHandler "proxy:unix:%s|fcgi://localhost"\n</FilesMatch>\n' "$socket"
}

configuration() {
    cat <<END
# Set by xlfs when this guest was made.
ServerName $site
ServerAdmin $admin
ServerTokens Prod
ServerSignature Off
TraceEnable Off

$(php_handler)
<VirtualHost *:80>
    ServerName $site
    ServerAdmin $admin
    DocumentRoot $place
    DirectoryIndex index.php index.html
    Alias /xlfs-health $ours/health.php
    <Directory $place>
        Options -Indexes +SymLinksIfOwnerMatch
        AllowOverride None
        Require all granted
    </Directory>
    <Directory $ours>
        Require all denied
        <Files health.php>
            Require all granted
        </Files>
    </Directory>
    # Version control and editors leave such files; certificates' proofs are no secret.
    <LocationMatch "/\.(?!well-known(/|$))">
        Require all denied
    </LocationMatch>
</VirtualHost>
END
}

text=$(configuration)
if [ -d "$base/sites-enabled" ]; then
    rm -f "$base"/sites-enabled/000-default.conf "$base"/mods-enabled/autoindex.* "$base"/mods-enabled/status.*
    # By its name after security.conf, which says less strict things.
    printf '%s\n' "$text" >"$base/conf-available/xlfs-site.conf"
    ln -sf ../conf-available/xlfs-site.conf "$base/conf-enabled/xlfs-site.conf"
else
    printf '%s\n' "$text" >"$base/xlfs-site.conf"
    if ! grep -q '^Include .*/xlfs-site.conf' "$conf"; then echo "Include $base/xlfs-site.conf" >>"$conf"; fi
fi
for folder in /etc/php/*/*/conf.d /etc/php.d /etc/php/conf.d; do
    if [ -d "$folder" ]; then
        printf '; Set by xlfs when this guest was made.\nexpose_php = Off\ndisplay_errors = Off\n' >"$folder/90-xlfs.ini"
    fi
done

for control in apache2ctl apachectl; do
    if command -v $control >/dev/null; then break; fi
done
$control configtest
for name in apache2 httpd; do
    if [ -e "/etc/init.d/$name" ] || [ -e "/etc/rc.d/init.d/$name" ] || [ -e "/lib/systemd/system/$name.service" ]; then
        service "$name" restart
        echo "Apache httpd serves $site"
        exit
    fi
done
die "this image has no service named apache2 or httpd"
